//! Programs of the system that a test needs. A missing one fails the test and names the Debian package.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The program's path; an error that names the package if it is not installed.
pub fn find(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!("this test needs `{program}`: apt-get install --no-install-recommends {package}")
        })
}
