//! `pointsman config get|set|schema`: single keys of the configuration's file, and what may be written in it.

use serde::Serialize;

use super::Success;
use super::args::{ConfigKey, ConfigSet, Global};
use super::output::{GOOD, Output, paint};
use crate::config::{Overrides, edit};

/// What `--json` prints of a key.
#[derive(Debug, Serialize)]
struct Written<'a> {
    key: &'a str,
    /// As TOML.
    value: &'a str,
}

/// What `--json` prints of a change.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    key: &'a str,
    file: String,
}

/// Prints what is written of a key.
pub(super) fn get(args: &ConfigKey, output: &mut Output) -> anyhow::Result<Success> {
    let value = edit::get(args.config.as_deref(), &args.key)?;
    output.value(&Written { key: &args.key, value: &value }, || vec![value.clone()]);
    Ok(Success::Yes)
}

/// Writes a key, or takes it out.
pub(super) fn set(global: &Global, args: &ConfigSet, output: &mut Output) -> anyhow::Result<Success> {
    let overrides = Overrides { data_dir: global.data_dir.clone(), ..Overrides::default() };
    let value = args.value.as_deref().filter(|_| !args.unset);
    let file = edit::set(args.config.as_deref(), &args.key, value, &overrides)?;
    let changed = Changed { key: &args.key, file: file.display().to_string() };
    output.value(&changed, || {
        let what = if value.is_some() { "is written in" } else { "is taken out of" };
        vec![
            format!("{} `{}` {what} {}", paint(GOOD, "ok"), args.key, changed.file),
            "a gateway that runs reads it when it is started anew".to_owned(),
        ]
    });
    Ok(Success::Yes)
}

/// Prints what may be written.
pub(super) fn schema(output: &mut Output) -> Success {
    // The same for people and for programs: editors read it.
    output.json(&edit::schema());
    Success::Yes
}
