//! The folder of state: there or possible, writable, and nobody else's business.

use std::path::Path;

use super::finding::Finding;

const ABOUT: &str = "data";

/// Looks at the folder without making it. A file is written into it, or beside where it will be, and taken away again.
pub(super) fn data_dir(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    let exists = folder.is_dir();
    if folder.exists() && !exists {
        let mend = "name a folder with --data-dir, POINTSMAN_DATA_DIR or `data_dir`";
        return vec![Finding::fail(ABOUT, format!("{shown} is no folder"), mend)];
    }
    let place = folder.ancestors().find(|it| it.is_dir()).unwrap_or_else(|| Path::new("."));
    if let Err(error) = tempfile::Builder::new().prefix(".pointsman-doctor-").tempfile_in(place) {
        let mend = format!(
            "give this user the right to write to {}, or name another folder with --data-dir",
            place.display()
        );
        return vec![Finding::fail(ABOUT, format!("{shown} cannot be written: {error}"), mend)];
    }
    let state = if exists { "is writable" } else { "is not there yet and can be made" };
    let mut findings = vec![Finding::ok(ABOUT, format!("{shown} {state}"))];
    findings.extend(token(&folder.join(crate::admin::TOKEN_FILE)));
    findings
}

/// The token opens the admin API to whoever can read it.
#[cfg(unix)]
fn token(file: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt as _;

    const OTHERS: u32 = 0o077;
    let mode = file.metadata().ok()?.permissions().mode();
    let (message, mend) =
        (format!("other users can read {}", file.display()), format!("chmod 600 {}", file.display()));
    (mode & OTHERS != 0).then(|| Finding::warn(ABOUT, message, mend))
}

#[cfg(not(unix))]
fn token(_: &Path) -> Option<Finding> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_folder_is_looked_at_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let findings = data_dir(&inner);
        assert_eq!((findings.len(), findings[0].level), (1, Level::Ok));
        assert!(findings[0].message.contains("can be made") && !inner.exists());
        assert_eq!(data_dir(folder.path())[0].level, Level::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(inner.parent().unwrap(), "").unwrap();
        assert_eq!(data_dir(inner.parent().unwrap())[0].level, Level::Fail);
    }

    #[cfg(unix)]
    #[test]
    fn a_token_that_others_can_read_is_seen() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(crate::admin::TOKEN_FILE);
        std::fs::write(&file, "pm-1").unwrap();
        for (mode, count) in [(0o600, 1), (0o644, 2)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(data_dir(folder.path()).len(), count, "{mode:o}");
        }
    }
}
