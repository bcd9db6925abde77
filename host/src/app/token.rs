//! The admin API's token: made at the first start, kept in a file that only its owner can read.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// The token in the file; a new one where there is none.
pub(super) fn read_or_make(path: &Path) -> anyhow::Result<String> {
    if let Ok(token) = std::fs::read_to_string(path) {
        let token = token.trim();
        if !token.is_empty() {
            return Ok(token.to_owned());
        }
    }
    let token = format!("pm-{:032x}", rand::random::<u128>());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("the admin token {} cannot be written", path.display()))?;
    writeln!(file, "{token}")
        .with_context(|| format!("the admin token {} cannot be written", path.display()))?;
    Ok(token)
}
