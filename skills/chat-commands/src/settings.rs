//! The user's settings, checked.

use pointsman_sdk::{Error, Settings};
use serde::Deserialize;

/// JSON Schema of the settings, for the manifest.
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Models on a page: as many as fit on a screen.
const PAGE_SIZE: usize = 20;

/// Models that may be asked for on a page; an answer has a bound of its own, too.
const PAGE_SIZE_MAX: usize = 100;

/// Settings that make sense.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Models on a page.
    pub(crate) page_size: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "page_size")]
    page_size: usize,
}

fn page_size() -> usize {
    PAGE_SIZE
}

/// Decodes and checks what is written.
pub(crate) fn read(settings: Settings<'_>) -> Result<Checked, Error> {
    let Written { page_size } = settings.parse()?;
    if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
        return Err(Error::invalid(format!("`page_size`: {page_size} is not from 1 to {PAGE_SIZE_MAX}")));
    }
    Ok(Checked { page_size })
}
