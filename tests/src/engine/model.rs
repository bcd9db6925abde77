//! A model of a router: the file it is, and what the router's preset says of it.

use std::path::Path;

use crate::gguf::Script;

/// A model that a router lists.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    script: Script,
    file: Shape,
    settings: Vec<(String, String)>,
}

/// What is written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    Broken,
}

impl From<Script> for Model {
    fn from(script: Script) -> Self {
        Self { name: script.name().to_owned(), script, file: Shape::Whole, settings: Vec::new() }
    }
}

// === impl Model ===

impl Model {
    /// A model that says its name.
    pub fn new(name: &str) -> Self {
        Script::new(name).into()
    }

    /// A model whose load fails: its file ends in the middle.
    pub fn broken(name: &str) -> Self {
        Self { file: Shape::Broken, ..Self::new(name) }
    }

    /// A model for embeddings: they count the bytes of a text, so that texts of the same bytes are alike.
    pub fn embeddings(name: &str) -> Self {
        Self::new(name).with("embeddings", "true").with("pooling", "mean")
    }

    /// A line of its preset: a parameter of the engine's command line without its dashes, and the value.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes its file into this folder and returns its section of the preset.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub(super) fn write(&self, folder: &Path) -> String {
        let path = folder.join(format!("{}.gguf", self.name.replace('/', "--")));
        let written = match self.file {
            Shape::Whole => self.script.write(&path).map(|_| ()),
            Shape::Broken => self.script.write_broken(&path),
        };
        written.unwrap_or_else(|error| panic!("{error}"));
        let section = format!("[{}]\nmodel = {}\n", self.name, path.display());
        self.settings.iter().fold(section, |section, (key, value)| section + &format!("{key} = {value}\n"))
    }
}
