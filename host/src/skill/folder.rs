//! Skills that the user put into a folder: one component a file, named after it.
//!
//! The folder is read once, in the order of names. What is in it is never written, never run by its place in it, and
//! gets only what the configuration grants. A file that cannot be read is a skill that failed, not an error.

use std::io;
use std::path::{Path, PathBuf};

use super::load::{COMPONENT_BYTES_MAX, LoadError};
use super::{File, Source};
use crate::id::SkillName;

/// Files of the folder that are looked at.
const FILES_MAX: usize = 256;

/// Bytes of a skill's name.
const NAME_BYTES_MAX: usize = 64;

/// Reads the components in the folder; none where there is no such folder.
pub(super) async fn read(folder: &Path) -> Vec<File> {
    let mut paths = match list(folder).await {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("the skills' folder {} cannot be read: {error}", folder.display());
            return Vec::new();
        }
    };
    paths.sort();
    if paths.len() > FILES_MAX {
        tracing::warn!("of {} skills in {} only {FILES_MAX} are used", paths.len(), folder.display());
        paths.truncate(FILES_MAX);
    }
    let mut files = Vec::new();
    for path in paths {
        match name(&path) {
            Some(name) => {
                let wasm = read_bounded(&path).await;
                files.push(File { name, source: Source::File(path), wasm });
            }
            None => tracing::warn!(
                "{} is no skill: a name is made of a-z, 0-9, `-` and `_`, at most {NAME_BYTES_MAX}",
                path.display()
            ),
        }
    }
    files
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
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let is_name = !stem.is_empty() && stem.len() <= NAME_BYTES_MAX && stem.bytes().all(legal);
    is_name.then(|| SkillName::new(stem))
}

/// Reads a file that is not bigger than a component may be, without reading one that is.
async fn read_bounded(path: &Path) -> Result<Vec<u8>, LoadError> {
    let bytes = tokio::fs::metadata(path).await?.len();
    if bytes > COMPONENT_BYTES_MAX {
        return Err(LoadError::Large(bytes));
    }
    Ok(tokio::fs::read(path).await?)
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
        assert!(read(&folder.path().join("nowhere")).await.is_empty());
        std::fs::write(folder.path().join("b.wasm"), b"").unwrap();
        std::fs::write(folder.path().join("a.wasm"), b"").unwrap();
        std::fs::write(folder.path().join("notes.txt"), b"").unwrap();
        let names: Vec<String> =
            read(folder.path()).await.iter().map(|it| it.name.as_str().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
