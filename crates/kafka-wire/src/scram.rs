//! The client's side of SCRAM (RFC 5802; SHA-256: RFC 7677), without channel binding. No I/O.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};

use crate::base64;

/// Kafka's own floor is 4096 and its ceiling 16384; a server may not make the client work for minutes.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Without channel binding, nor an authorization identity of its own.
const GS2_HEADER: &str = "n,,";

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// One exchange: [`Scram::first`], the server's answer into [`Scram::last`], the server's answer into
/// [`Verify::check`].
pub(crate) struct Scram {
    hash: Hash,
    password: SecretString,
    nonce: String,
    first_bare: String,
}

/// What the server must show to prove that it knows the password too.
pub(crate) struct Verify {
    server_key: hmac::Key,
    auth_message: String,
}

impl Scram {
    /// `nonce`: printable, without a comma, never used before.
    pub fn new(hash: Hash, user: &str, password: &SecretString, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Self { hash, password: password.clone(), nonce, first_bare }
    }

    /// The client-first-message.
    pub fn first(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    /// The client-final-message for a server-first-message.
    pub fn last(self, server_first: &[u8]) -> Result<(String, Verify), String> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| "SCRAM: not UTF-8".to_owned())?;
        let (mut nonce, mut salt, mut rounds) = (None, None, None);
        for part in server_first.split(',') {
            match part.split_at_checked(2) {
                Some(("r=", value)) => nonce = Some(value),
                Some(("s=", value)) => salt = base64::decode(value),
                Some(("i=", value)) => rounds = value.parse::<NonZeroU32>().ok(),
                Some(("e=", value)) => return Err(format!("SCRAM: the broker says {value}")),
                _ => {}
            }
        }
        let (Some(nonce), Some(salt), Some(rounds)) = (nonce, salt, rounds) else {
            return Err("SCRAM: the broker's first message lacks a nonce, salt or count".to_owned());
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("SCRAM: the broker's nonce does not continue ours".to_owned());
        }
        if rounds.get() > MAX_ITERATIONS {
            return Err(format!("SCRAM: the broker asks for {rounds} iterations"));
        }
        let (pbkdf2_algorithm, hmac_algorithm, digest_algorithm) = match self.hash {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
        };
        let mut salted = vec![0; digest_algorithm.output_len()];
        let password = self.password.expose_secret().as_bytes();
        pbkdf2::derive(pbkdf2_algorithm, rounds, &salt, password, &mut salted);
        let salted = hmac::Key::new(hmac_algorithm, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(digest_algorithm, client_key.as_ref());
        let without_proof = format!("c={},r={nonce}", base64::encode(GS2_HEADER.as_bytes()));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let stored_key = hmac::Key::new(hmac_algorithm, stored_key.as_ref());
        let signature = hmac::sign(&stored_key, auth_message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = hmac::Key::new(hmac_algorithm, hmac::sign(&salted, b"Server Key").as_ref());
        let last = format!("{without_proof},p={}", base64::encode(&proof));
        Ok((last, Verify { server_key, auth_message }))
    }
}

impl Verify {
    /// Checks the server-final-message.
    pub fn check(&self, server_final: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(server_final).map_err(|_| "SCRAM: not UTF-8".to_owned())?;
        let first = text.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Err(format!("SCRAM: the broker says {error}"));
        }
        let signature = first.strip_prefix("v=").and_then(base64::decode);
        let signature =
            signature.ok_or_else(|| "SCRAM: the broker's last message has no signature".to_owned())?;
        hmac::verify(&self.server_key, self.auth_message.as_bytes(), &signature).map_err(|_| {
            "SCRAM: the broker does not know the password either: is it the right one?".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(hash: Hash, nonce: &str, server_first: &str) -> (String, String, Verify) {
        let scram = Scram::new(hash, "user", &SecretString::from("pencil"), nonce.to_owned());
        let first = scram.first();
        let (last, verify) = scram.last(server_first.as_bytes()).unwrap();
        (first, last, verify)
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let (first, last, verify) = exchange(
            Hash::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        );
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        verify.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(
            verify.check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err(),
            "another signature"
        );
        assert!(verify.check(b"").is_err());
        let said = verify.check(b"e=invalid-proof").unwrap_err();
        assert!(said.contains("invalid-proof"), "{said}");
    }

    #[test]
    fn names_are_escaped() {
        let scram = Scram::new(Hash::Sha512, "a=b,c", &SecretString::from("x"), "n".to_owned());
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=n");
    }

    #[test]
    fn a_server_that_does_not_follow_the_protocol_is_refused() {
        for (server_first, what) in [
            ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=mine,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=mine1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0", "count"),
            ("r=mine1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000", "iterations"),
            ("r=mine1,s=*,i=4096", "salt"),
            ("e=unknown-user", "unknown-user"),
            ("", "lacks"),
            ("é", "lacks"),
        ] {
            let scram = Scram::new(Hash::Sha256, "user", &SecretString::from("x"), "mine".to_owned());
            let error = scram.last(server_first.as_bytes()).err().unwrap();
            assert!(error.contains(what), "{server_first}: {error}");
        }
    }
}
