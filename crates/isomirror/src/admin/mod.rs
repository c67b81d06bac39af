//! The HTTP server that people, Prometheus and health checks ask: metrics, health, status, a page.
//!
//! It lives on its own thread with its own runtime, so that it answers while the data path is stalled. It only
//! reads; it never touches the data path, holds no secret and asks for none: it listens on loopback by default.
//!
//! ```text
//! bind (at start) ─► thread "admin" ─► accept ─► one request a connection ─► routes ─┬─ Registry  (/metrics)
//!                                       ▲ at most 256, each with a deadline           └─ LinkStatus (the rest)
//! ```

mod lanes;
mod page;
mod routes;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use pipeline::status::LinkStatus;

pub use lanes::worst_first;
pub use server::Server;

/// Gives the link's present status. It must return soon and never wait for the data path.
pub type StatusSource = Arc<dyn Fn() -> LinkStatus + Send + Sync>;

/// Why the admin server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("the admin server can't listen on {address}; {}", fix(*address, source))]
    Bind {
        /// What admin.listen says.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The thread or its runtime cannot be had.
    #[error(
        "the admin server's thread can't start; look at the limits on threads and open files (ulimit -u, -n)"
    )]
    Thread(#[source] io::Error),
}

fn fix(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process has port {}: stop it, or set admin.listen to a free port (each link needs its own)",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{} is no address of this machine: set admin.listen to one it has, or to 0.0.0.0:{} for all of them",
            address.ip(),
            address.port()
        ),
        io::ErrorKind::PermissionDenied => {
            "this user may not use that port: set admin.listen to a port above 1023, such as 9464".to_owned()
        }
        _ => format!("{error}: set admin.listen to an address and port of this machine"),
    }
}
