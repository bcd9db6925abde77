//! Skills that the user put into a folder: one component a file, named after it.
//!
//! What is in it is never written, never run by its place in it, and gets only what was granted. A file that cannot be
//! read is a skill that failed, not an error.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;

use super::compiled::Wasm;
use super::load::{COMPONENT_BYTES_MAX, LoadError};
use super::loader::File;
use super::status::Source;
use crate::id::SkillName;

/// Files of the folder that are looked at.
const FILES_MAX: usize = 256;

/// Bytes of a skill's name.
const NAME_BYTES_MAX: usize = 64;

/// What lies in the folder under which name, and what each file looked like.
pub(super) type Seen = BTreeMap<SkillName, Stamp>;

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// The names of the components in the folder; none where there is no such folder. Says what is passed over.
pub(super) async fn names(folder: &Path) -> Vec<SkillName> {
    let paths = match list(folder).await {
        Ok(paths) => paths,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("the skills' folder {} cannot be read: {error}", folder.display());
            }
            return Vec::new();
        }
    };
    if paths.len() > FILES_MAX {
        tracing::warn!("of {} skills in {} only {FILES_MAX} are used", paths.len(), folder.display());
    }
    for path in paths.iter().filter(|path| name(path).is_none()) {
        tracing::warn!(
            "{} is no skill: a name is made of a-z, 0-9, `-` and `_`, at most {NAME_BYTES_MAX}",
            path.display()
        );
    }
    look(folder).await.into_keys().collect()
}

/// What lies in the folder now.
pub(super) async fn look(folder: &Path) -> Seen {
    let mut paths = list(folder).await.unwrap_or_default();
    paths.sort();
    paths.truncate(FILES_MAX);
    let mut seen = Seen::new();
    for path in paths {
        let Some(name) = name(&path) else { continue };
        let metadata = tokio::fs::metadata(&path).await.ok();
        let stamp = metadata.map(|it| Stamp { bytes: it.len(), modified: it.modified().ok() });
        seen.insert(name, stamp.unwrap_or(Stamp { bytes: 0, modified: None }));
    }
    seen
}

/// The component of this name; none where it is not there.
pub(super) async fn read(folder: &Path, name: &SkillName) -> Option<File> {
    let path = folder.join(format!("{name}.wasm"));
    let wasm = match read_bounded(&path).await {
        Err(LoadError::Read(error)) if error.kind() == io::ErrorKind::NotFound => return None,
        wasm => wasm,
    };
    Some(File { name: name.clone(), source: Source::File(path), wasm: wasm.map(Wasm::Here), digest: None })
}

async fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let mut paths = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_some_and(|it| it == "wasm") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The skill that a file of this name is, where it can be one.
fn name(path: &Path) -> Option<SkillName> {
    let stem = path.file_stem()?.to_str()?;
    is_name(stem).then(|| SkillName::new(stem))
}

/// It can be the name of a skill.
pub(super) fn is_name(name: &str) -> bool {
    let is_legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_legal)
}

/// Reads a file that is not bigger than a component may be, without reading one that is.
async fn read_bounded(path: &Path) -> Result<Bytes, LoadError> {
    let bytes = tokio::fs::metadata(path).await?.len();
    if bytes > COMPONENT_BYTES_MAX {
        return Err(LoadError::Large(bytes));
    }
    Ok(tokio::fs::read(path).await?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skills_are_named_after_their_files() {
        let named = |path: &str| name(Path::new(path)).map(|it| it.as_str().to_owned());
        assert_eq!(named("/x/my-router_2.wasm").as_deref(), Some("my-router_2"));
        for bad in ["/x/My.wasm", "/x/a b.wasm", "/x/a\n.wasm", "/x/ä.wasm", "/x/.wasm/.."] {
            assert_eq!(named(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert!(names(&folder.path().join("nowhere")).await.is_empty());
        std::fs::write(folder.path().join("b.wasm"), b"").unwrap();
        std::fs::write(folder.path().join("a.wasm"), b"").unwrap();
        std::fs::write(folder.path().join("notes.txt"), b"").unwrap();
        assert_eq!(names(folder.path()).await, ["a", "b"].map(SkillName::new));
        assert!(read(folder.path(), &SkillName::new("a")).await.is_some());
        assert!(read(folder.path(), &SkillName::new("c")).await.is_none());
    }
}
