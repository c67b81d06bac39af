//! Before other requests: which versions the broker knows, and who we are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use kafka_protocol::{
    ResponseError as Code,
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
        SaslHandshakeRequest,
    },
    protocol::StrBytes,
};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::ExposeSecret;

use super::{Answer, Versions, queue::Queue};
use crate::{
    Cause, Error, base64, oauthbearer,
    scram::Scram,
    settings::{Mechanism, Sasl},
};

/// The newest ApiVersions request that is tried first (KIP-511: it has the client's name).
const API_VERSIONS: i16 = 3;

/// Asks the broker what it knows.
pub(super) async fn negotiate(queue: &Queue) -> Result<Versions, Error> {
    let doing = "ApiVersions";
    let broker = &queue.shared.address;
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("kafka-wire"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let mut bytes = queue.send_raw(&request, API_VERSIONS, Duration::ZERO).await?;
    let mut version = API_VERSIONS;
    // A broker that does not know the version answers with this error in version 0, whose form a newer one
    // does not have (KIP-511).
    if error_of(&bytes) == Some(Code::UnsupportedVersion) {
        version = 0;
        bytes = queue.send_raw(&ApiVersionsRequest::default(), version, Duration::ZERO).await?;
    }
    let answer = ApiVersionsResponse::read(bytes, version)
        .map_err(|reason| Error::senseless(broker, doing, &reason))?;
    match Code::try_from_code(answer.error_code) {
        None => Ok(Versions::new(&answer)),
        Some(code) => Err(Error::answered(broker, doing, code)),
    }
}

fn error_of(frame: &Bytes) -> Option<Code> {
    let mut after_correlation = frame.get(4..)?;
    Code::try_from_code(after_correlation.try_get_i16().ok()?)
}

/// Shows who we are. Gives how long the broker believes it (KIP-368), where that is limited.
pub(super) async fn authenticate(
    queue: &Queue,
    versions: &Versions,
    sasl: &Sasl,
) -> Result<Option<Duration>, Error> {
    let refused = |reason: String| {
        let text = format!("SASL {} as {}: {reason}", sasl.mechanism.name(), sasl.user);
        Error::not_sent(&queue.shared.address, "authenticate", Cause::Authentication(text.into()))
    };
    let version = versions
        .pick::<SaslAuthenticateRequest>(1)
        .map_err(|cause| Error::not_sent(&queue.shared.address, "authenticate", cause))?;
    let mechanism = StrBytes::from_static_str(sasl.mechanism.name());
    let handshake = SaslHandshakeRequest::default().with_mechanism(mechanism);
    let handshake = queue.send(&handshake, 1, Duration::ZERO).await?;
    if let Some(code) = Code::try_from_code(handshake.error_code) {
        let offered: Vec<&str> = handshake.mechanisms.iter().map(|mechanism| &**mechanism).collect();
        return Err(refused(format!("{code}; the broker takes {}", offered.join(", "))));
    }
    let step = async |bytes: Vec<u8>| -> Result<SaslAuthenticateResponse, Error> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(bytes.into());
        let answer = queue.send(&request, version, Duration::ZERO).await?;
        match Code::try_from_code(answer.error_code) {
            None => Ok(answer),
            Some(code) => {
                let said = answer.error_message.as_ref().filter(|said| !said.is_empty());
                Err(refused(said.map_or_else(|| code.to_string(), |said| said.to_string())))
            }
        }
    };
    let answer = match &sasl.mechanism {
        Mechanism::Plain { password } => {
            step(format!("\0{}\0{}", sasl.user, password.expose_secret()).into_bytes()).await?
        }
        Mechanism::Scram { hash, password } => {
            let nonce = nonce().ok_or_else(|| refused("the system has no randomness".to_owned()))?;
            let scram = Scram::new(*hash, &sasl.user, password, nonce);
            let first = step(scram.first().into_bytes()).await?;
            let (last, verify) = scram.last(&first.auth_bytes).map_err(refused)?;
            let last = step(last.into_bytes()).await?;
            verify.check(&last.auth_bytes).map_err(refused)?;
            last
        }
        Mechanism::OauthBearer(tokens) => {
            // Every session has a token of its own: none is ever too old to be shown.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let answer = step(tokens.first(now).into_bytes()).await?;
            if !answer.auth_bytes.is_empty() {
                let _ = step(oauthbearer::GIVE_UP.into()).await;
                let said = String::from_utf8_lossy(&answer.auth_bytes);
                return Err(refused(format!("the broker refuses the token: {said}")));
            }
            answer
        }
    };
    let lifetime = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
    Ok((lifetime > 0).then(|| Duration::from_millis(lifetime)))
}

fn nonce() -> Option<String> {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(base64::encode(&bytes))
}
