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
    // The mode above is for a new file only; one that was there may have been open to everybody.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .with_context(|| format!("the admin token {} cannot be kept to its owner", path.display()))?;
    writeln!(file, "{token}")
        .with_context(|| format!("the admin token {} cannot be written", path.display()))?;
    Ok(token)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_token_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (name, before) in [("new", None), ("empty", Some("\n"))] {
            let path = folder.path().join(name);
            if let Some(before) = before {
                std::fs::write(&path, before).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            }
            let token = read_or_make(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            assert_eq!(read_or_make(&path).unwrap(), token);
        }
    }
}
