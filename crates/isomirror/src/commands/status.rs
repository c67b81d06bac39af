//! `isomirror status`: asks a daemon for its status over HTTP and shows it.
//!
//! Owns the request. It knows nothing that the daemon did not say, and talks to no broker; what a person sees is
//! `table`.

mod table;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use pipeline::status::LinkStatus;

use crate::cli::{Common, Output, StatusArgs};
use crate::config::Config;
use crate::exit::{Exit, Failure};

const TIMEOUT: Duration = Duration::from_secs(5);
/// A bound against an endless answer, far above the status of a hundred thousand lanes.
const ANSWER_LIMIT: u64 = 128 << 20;

/// Prints what the daemon says of itself; done when it could be shown, whatever it says.
pub fn status(args: &StatusArgs, common: &Common) -> anyhow::Result<Exit> {
    let url = find(args.target.as_deref())?;
    let (body, status) = fetch(&url).map_err(Failure::from)?;
    let text = match common.output {
        Output::Table => table::render(&status),
        Output::Json => body,
    };
    super::print(&text)?;
    Ok(Exit::Done)
}

/// What the daemon says of itself that listens there; none where none answers.
pub fn status_at(listen: SocketAddr) -> Option<LinkStatus> {
    (listen.port() != 0).then(|| fetch(&url_of_listen(listen)).ok())?.map(|(_, status)| status)
}

/// Where to ask: what was given, or where the configuration says that its daemon listens.
fn find(target: Option<&str>) -> anyhow::Result<String> {
    if let Some(url) = target.map(url_of).transpose().map_err(Failure::from)?.flatten() {
        return Ok(url);
    }
    let config = Config::load_here_to_ask(target.map(Path::new))?;
    let Some(listen) = config.admin.listen else {
        let message = "the configuration switches the admin server off (admin.listen = \"none\"): nobody can be asked\n  \
                       fix: set admin.listen to an address such as 127.0.0.1:9464, and restart the daemon";
        return Err(Failure::new(Exit::Usage, message).into());
    };
    Ok(url_of_listen(listen))
}

/// The address in `http://host:port` or `host:port`; none if it is something else, that is, a file.
fn url_of(target: &str) -> Result<Option<String>, Error> {
    if let Some(rest) = target.strip_prefix("https://") {
        return Err(Error::Target(format!("the admin server speaks plain HTTP\n  fix: write http://{rest}")));
    }
    let is_address = !Path::new(target).exists()
        && target.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.trim_end_matches('/').parse::<u16>().is_ok()
        });
    let address = match target.strip_prefix("http://") {
        Some(rest) => rest,
        None if is_address => target,
        None => return Ok(None),
    };
    let address = address.trim_end_matches('/');
    let address = address.strip_suffix("/status").unwrap_or(address);
    if address.is_empty() {
        let message = format!("{target} names no host\n  fix: write it as http://127.0.0.1:9464");
        return Err(Error::Target(message));
    }
    Ok(Some(format!("http://{address}")))
}

/// The address to ask for a daemon of this machine that listens on `listen`.
fn url_of_listen(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// The status as the daemon sent it, and read.
fn fetch(url: &str) -> Result<(String, LinkStatus), Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        // A proxy of the environment is for the world outside, not for a daemon's own port.
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .build()
        .into();
    let foreign = |cause: String| Error::Foreign { url: url.to_owned(), cause };
    let unreachable = |error: ureq::Error| {
        let cause = match error {
            ureq::Error::Io(cause) => cause.to_string(),
            cause => cause.to_string(),
        };
        Error::Unreachable { url: url.to_owned(), cause }
    };
    let mut response = agent.get(format!("{url}/status")).call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Error::Target(format!("{url} is no address ({error})\n  fix: write it as http://127.0.0.1:9464"))
        }
        ureq::Error::Protocol(cause) => foreign(cause.to_string()),
        error => unreachable(error),
    })?;
    if response.status() != 200 {
        return Err(foreign(format!("it answers {}", response.status())));
    }
    let body = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_string().map_err(unreachable)?;
    let status = serde_json::from_str(&body).map_err(|cause| foreign(cause.to_string()))?;
    Ok((body, status))
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// No address that can be asked.
    #[error("{0}")]
    Target(String),
    /// Nobody answers there.
    #[error(
        "no isomirror answers at {url}: {cause}\n  fix: see that the daemon runs (systemctl status, or its \
         container), and that admin.listen of its configuration is this address; 127.0.0.1, the default, is only \
         reached from the daemon's own machine"
    )]
    Unreachable { url: String, cause: String },
    /// Something else answers there.
    #[error(
        "what answers at {url} is not isomirror, or another version of it: {cause}\n  fix: give the address that \
         admin.listen of the link's configuration has"
    )]
    Foreign { url: String, cause: String },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::Target(_) => Exit::Usage,
            Error::Unreachable { .. } => Exit::Unreachable,
            Error::Foreign { .. } => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}
