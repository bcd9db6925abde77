//! What a skill says about itself, checked: it is shown to people and kept. And its settings, as it gets them.
//!
//! Pure. A manifest never says what a skill may do or when it runs; the component does.

use std::sync::Arc;

use serde_json::Value;

use super::text::is_unsafe;
use crate::capability::bindings::lifecycle;

/// A manifest that may be shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) version: String,
    pub(super) description: String,
    pub(super) priority: i32,
    pub(super) reusable: bool,
    settings_schema: Option<Value>,
}

/// What is wrong with a manifest, or with the settings that it is to be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A text is too long or would break what shows it.
    #[error("its {what} must be at most {bytes_max} bytes without control characters")]
    Text {
        /// Which text.
        what: &'static str,
        /// The bound.
        bytes_max: usize,
    },
    /// No name.
    #[error("its name is empty")]
    NoName,
    /// Not a semantic version.
    #[error("its version `{0}` is not a semantic version such as 1.2.3")]
    Version(String),
    /// Not a JSON Schema.
    #[error("its settings schema is unusable: {0}")]
    Schema(String),
    /// The settings are not an object, or too long.
    #[error("they must be a table of at most {SETTINGS_BYTES_MAX} bytes")]
    Settings,
    /// The settings do not fit the schema.
    #[error("they do not fit its schema: {0}")]
    Misfit(String),
}

const NAME_BYTES_MAX: usize = 64;
const VERSION_BYTES_MAX: usize = 64;
const DESCRIPTION_BYTES_MAX: usize = 1000;
const SCHEMA_BYTES_MAX: usize = 256 << 10;

/// Bytes of a skill's settings as JSON.
const SETTINGS_BYTES_MAX: usize = 1 << 20;

/// Faults of settings that are shown at once.
const MISFITS_MAX: usize = 3;

/// Checks what `describe` answered.
pub(super) fn check(manifest: lifecycle::Manifest) -> Result<Manifest, ManifestError> {
    check_line("name", &manifest.name, NAME_BYTES_MAX)?;
    check_line("version", &manifest.version, VERSION_BYTES_MAX)?;
    check_line("description", &manifest.description, DESCRIPTION_BYTES_MAX)?;
    if manifest.name.trim().is_empty() {
        return Err(ManifestError::NoName);
    }
    if semver::Version::parse(&manifest.version).is_err() {
        return Err(ManifestError::Version(manifest.version));
    }
    let settings_schema = manifest.settings_schema.as_deref().map(check_schema).transpose()?;
    Ok(Manifest {
        version: manifest.version,
        description: manifest.description,
        priority: manifest.priority,
        reusable: manifest.reusable,
        settings_schema,
    })
}

/// Settings as the guest gets them; none are an empty object.
pub(super) fn settings_text(settings: &Value) -> Result<Arc<str>, ManifestError> {
    match settings {
        Value::Null => Ok("{}".into()),
        Value::Object(_) => {
            let text = settings.to_string();
            if text.len() > SETTINGS_BYTES_MAX { Err(ManifestError::Settings) } else { Ok(text.into()) }
        }
        _ => Err(ManifestError::Settings),
    }
}

// === impl Manifest ===

impl Manifest {
    /// The settings fit the schema, where there is one.
    pub(super) fn check_settings(&self, settings: &Value) -> Result<(), ManifestError> {
        let Some(schema) = &self.settings_schema else { return Ok(()) };
        let empty = Value::Object(serde_json::Map::new());
        let settings = if settings.is_null() { &empty } else { settings };
        let validator = compile(schema)?;
        let faults: Vec<String> = validator
            .iter_errors(settings)
            .take(MISFITS_MAX)
            .map(|error| format!("{error} at `{}`", error.instance_path()))
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(ManifestError::Misfit(super::text::shown(&faults.join("; ")))),
        }
    }
}

fn check_schema(text: &str) -> Result<Value, ManifestError> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(ManifestError::Schema(format!("more than {SCHEMA_BYTES_MAX} bytes")));
    }
    let schema = serde_json::from_str(text).map_err(|error| ManifestError::Schema(error.to_string()))?;
    compile(&schema)?;
    Ok(schema)
}

/// Nothing is fetched for a schema: references to elsewhere make it unusable.
fn compile(schema: &Value) -> Result<jsonschema::Validator, ManifestError> {
    jsonschema::validator_for(schema)
        .map_err(|error| ManifestError::Schema(super::text::shown(&error.to_string())))
}

fn check_line(what: &'static str, text: &str, bytes_max: usize) -> Result<(), ManifestError> {
    if text.len() > bytes_max || text.contains(is_unsafe) {
        return Err(ManifestError::Text { what, bytes_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn manifest() -> lifecycle::Manifest {
        lifecycle::Manifest {
            name: "x".to_owned(),
            version: "1.2.3-rc.1".to_owned(),
            description: "Routes.".to_owned(),
            priority: 7,
            settings_schema: None,
            reusable: true,
            extra: Vec::new(),
        }
    }

    #[test]
    fn manifests_are_checked() {
        let spoilt = |spoil: &dyn Fn(&mut lifecycle::Manifest)| {
            let mut manifest = manifest();
            spoil(&mut manifest);
            check(manifest).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(spoilt(&|_| {}), "");
        assert_eq!(spoilt(&|it| it.name = " ".to_owned()), "its name is empty");
        assert_eq!(
            spoilt(&|it| it.version = "1".to_owned()),
            "its version `1` is not a semantic version such as 1.2.3"
        );
        assert!(spoilt(&|it| it.description = "a\nb".to_owned()).starts_with("its description must be"));
        assert!(
            spoilt(&|it| it.settings_schema = Some("{".to_owned()))
                .starts_with("its settings schema is unusable")
        );
        let remote = r#"{"$ref":"https://example.com/schema.json"}"#;
        assert!(
            spoilt(&|it| it.settings_schema = Some(remote.to_owned()))
                .starts_with("its settings schema is unusable")
        );
    }

    #[test]
    fn settings_fit_the_schema() {
        let schema =
            r#"{"type":"object","properties":{"target":{"type":"string"}},"additionalProperties":false}"#;
        let manifest =
            check(lifecycle::Manifest { settings_schema: Some(schema.to_owned()), ..manifest() }).unwrap();
        assert_eq!(manifest.check_settings(&json(r#"{"target":"de"}"#)), Ok(()));
        assert_eq!(manifest.check_settings(&Value::Null), Ok(()));
        let misfit = manifest.check_settings(&json(r#"{"target":7}"#)).unwrap_err().to_string();
        assert_eq!(misfit, r#"they do not fit its schema: 7 is not of type "string" at `/target`"#);
    }

    #[test]
    fn settings_are_a_table() {
        assert_eq!(settings_text(&Value::Null).as_deref(), Ok("{}"));
        assert_eq!(settings_text(&json(r#"{"a":1}"#)).as_deref(), Ok(r#"{"a":1}"#));
        assert_eq!(settings_text(&json("[1]")), Err(ManifestError::Settings));
    }
}
