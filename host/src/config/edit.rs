//! Reading and changing single keys of the configuration's file. Its comments and its order stay; a change that would make
//! the file wrong is not made; the old file or the new one is there, never half of one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Key, Table, Value};

use super::env::{self, Env};
use super::file::File;
use super::{Errors, Overrides, Problem, resolve};

/// Why a key was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Not a key.
    #[error(
        "{0:?} is no key; write it as in the file, with dots between and quotes around what has dots: `models.\"a/b\".local`"
    )]
    Key(String),
    /// There is nothing of this key.
    #[error("`{key}` is not written in {file}; the default holds")]
    NotWritten {
        /// The key.
        key: String,
        /// The file.
        file: String,
    },
    /// There is no file.
    #[error("there is no configuration file; `pointsman config set` makes one")]
    NoFile,
    /// Something else stands there.
    #[error("`{0}` is a value, and nothing can be within it")]
    Within(String),
    /// What the file would be is wrong.
    #[error("nothing was changed: {0}")]
    Wrong(Errors),
    /// The disk.
    #[error("{path}: {reason}", path = path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// What may be written, as a JSON Schema.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

/// What the file says of this key, as TOML.
///
/// # Errors
/// There is no file, it cannot be read, or it says nothing of the key.
pub fn get(file: Option<&Path>, key: &str) -> Result<String, EditError> {
    let path = found(file).ok_or(EditError::NoFile)?;
    let document = read(&path)?;
    let not_written = || EditError::NotWritten { key: key.to_owned(), file: path.display().to_string() };
    let mut item = document.as_item();
    for part in parse(key)? {
        item = item.get(part.get()).ok_or_else(not_written)?;
    }
    let text = match item {
        Item::Value(value) => value.clone().decorated("", "").to_string(),
        Item::Table(table) => table.to_string(),
        Item::ArrayOfTables(tables) => tables.to_string(),
        Item::None => return Err(not_written()),
    };
    Ok(text.trim_end().to_owned())
}

/// Writes a value, or takes the key out where there is none; in a new file where there was none. Says which file.
///
/// # Errors
/// The file would be wrong, or cannot be written. It is as it was.
pub fn set(
    file: Option<&Path>,
    key: &str,
    value: Option<&str>,
    overrides: &Overrides,
) -> Result<PathBuf, EditError> {
    let path = found(file).unwrap_or_else(|| file.map_or_else(env::file_to_make, Path::to_path_buf));
    let mut document = if path.exists() { read(&path)? } else { DocumentMut::new() };
    let parts = parse(key)?;
    let Some((last, tables)) = parts.split_last() else { return Err(EditError::Key(key.to_owned())) };
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    for part in tables {
        let inner = table.entry(part.get()).or_insert_with(implicit);
        table = inner.as_table_like_mut().ok_or_else(|| EditError::Within(part.get().to_owned()))?;
    }
    match value {
        Some(text) => {
            // What is no value of TOML is a text: nobody wants to quote for two parsers.
            let value = text.parse::<Value>().unwrap_or_else(|_| Value::from(text));
            match table.get_mut(last.get()).and_then(Item::as_value_mut) {
                Some(before) => {
                    let decor = before.decor().clone();
                    *before = value;
                    *before.decor_mut() = decor;
                }
                None => {
                    table.insert(last.get(), Item::Value(value));
                }
            }
        }
        None => {
            let gone = table.remove(last.get());
            let file = path.display().to_string();
            gone.ok_or_else(|| EditError::NotWritten { key: key.to_owned(), file })?;
        }
    }
    let text = document.to_string();
    check(&text, &path, overrides)?;
    write(&path, &text)?;
    Ok(path)
}

/// A table that shows only where something is in it.
fn implicit() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn found(file: Option<&Path>) -> Option<PathBuf> {
    let named = file.map(Path::to_path_buf).or_else(|| Env::read().config);
    named.filter(|path| path.is_file()).or_else(|| if file.is_none() { env::usual_file() } else { None })
}

fn parse(key: &str) -> Result<Vec<Key>, EditError> {
    Key::parse(key).map_err(|_| EditError::Key(key.to_owned()))
}

fn read(path: &Path) -> Result<DocumentMut, EditError> {
    let text = std::fs::read_to_string(path).map_err(|error| disk(path, &error))?;
    text.parse().map_err(|_| {
        let problems = File::parse(&text).err().into_iter().collect();
        EditError::Wrong(Errors { file: Some(path.to_owned()), problems })
    })
}

fn check(text: &str, path: &Path, overrides: &Overrides) -> Result<(), EditError> {
    let wrong = |problems: Vec<Problem>| EditError::Wrong(Errors { file: Some(path.to_owned()), problems });
    let (file, problems) = File::parse(text).map_err(|problem| wrong(vec![problem]))?;
    if !problems.is_empty() {
        return Err(wrong(problems));
    }
    let resolved = resolve::resolve(file, &Env::read(), overrides, Some(path.to_owned()));
    let with_lines = |problems: Vec<Problem>| problems.into_iter().map(|it| it.with_line(text)).collect();
    resolved.map(|_| ()).map_err(|problems| wrong(with_lines(problems)))
}

/// The new file takes the old one's place in one step, with its permissions.
fn write(path: &Path, text: &str) -> Result<(), EditError> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let done = (|| {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        if let Ok(before) = std::fs::metadata(path) {
            file.as_file().set_permissions(before.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    })();
    done.map_err(|error: std::io::Error| disk(path, &error))
}

fn disk(path: &Path, error: &std::io::Error) -> EditError {
    EditError::Disk { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(before: &str, key: &str, value: Option<&str>) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pointsman.toml");
        std::fs::write(&path, before).unwrap();
        let done = set(Some(&path), key, value, &Overrides::default());
        let after = std::fs::read_to_string(&path).unwrap();
        match done {
            Ok(_) => Ok(after),
            Err(error) => {
                assert_eq!(after, before, "nothing was changed");
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn a_value_is_written_where_it_belongs() {
        let before = "# Mine.\nlisten = \"127.0.0.1:1\" # here\n\n[defaults]\nmodel = \"a\"\n";
        let after = edited(before, "listen", Some("127.0.0.1:2")).unwrap();
        assert_eq!(after, before.replace("127.0.0.1:1", "127.0.0.1:2"), "comments stay");
        let after = edited(before, "residency.local.max_loaded", Some("2")).unwrap();
        assert_eq!(after, format!("{before}\n[residency.local]\nmax_loaded = 2\n"));
        let after = edited(before, "models.\"acme/otter\".local", Some("true")).unwrap();
        assert!(after.ends_with("[models.\"acme/otter\"]\nlocal = true\n"), "{after}");
        let after = edited(before, "defaults.fallbacks", Some("[\"b\", \"c\"]")).unwrap();
        assert!(after.ends_with("model = \"a\"\nfallbacks = [\"b\", \"c\"]\n"), "{after}");
        assert_eq!(edited(before, "defaults.model", None).unwrap(), before.replace("model = \"a\"\n", ""));
    }

    #[test]
    fn what_would_be_wrong_is_not_written() {
        let before = "listen = \"127.0.0.1:1\"\n";
        for (key, value, reason) in [
            ("nonsense", Some("1"), "nonsense"),
            ("listen", Some("nowhere"), "no address"),
            ("limits.body_bytes_max", Some("0"), "limits.body_bytes_max"),
            ("limits.body_bytes_max", Some("-5"), "limits.body_bytes_max"),
            ("listen.port", Some("1"), "nothing can be within it"),
            ("defaults.model", None, "is not written"),
            ("a..b", Some("1"), "is no key"),
        ] {
            let error = edited(before, key, value).unwrap_err();
            assert!(error.contains(reason), "{key}: {error}");
        }
        assert!(edited("listen = ", "defaults.model", Some("a")).is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/pointsman.toml");
        assert!(matches!(get(Some(&path), "listen"), Err(EditError::NoFile)));
        set(Some(&path), "defaults.model", Some("otter"), &Overrides::default()).unwrap();
        assert_eq!(get(Some(&path), "defaults.model").unwrap(), "\"otter\"");
        assert_eq!(get(Some(&path), "defaults").unwrap(), "model = \"otter\"");
        assert!(matches!(get(Some(&path), "listen"), Err(EditError::NotWritten { .. })));
    }
}
