//! `pointsman models export`: the models as a client's configuration, printed or written into the client's own file.
//!
//! What is written is [`crate::discovery`]'s; here is where it comes from (the running gateway) and how it gets into a
//! file: whole or not at all, through a temporary file beside it, with the old one's permissions, and only if something
//! changed. Files are bounded by [`FILE_BYTES_MAX`]. A list without models is never written: it would empty a client's,
//! and says only that the model server is not there.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::args::{Export as Order, ExportFormat, Global};
use super::client::Client;
use super::located;
use super::output::{FAINT, GOOD, Output, paint};
use crate::admin::view;
use crate::discovery::cards;
use crate::discovery::edit::{Edited, edited};
use crate::discovery::export::{Export, Format, PROVIDER};
use crate::id::{InstanceId, ModelId};
use crate::model::{Costs, Instance, InstanceState, Kind, Model};
use crate::route::AUTO;

/// Bytes of a client's configuration file. They are written by hand; a few kilobytes are usual.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What became of a file.
#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    format: &'static str,
    changed: bool,
    models: usize,
    base_url: String,
}

/// A file as it was found.
struct Found {
    /// Where it really is: a link is followed, and stays one.
    path: PathBuf,
    /// None where there is no file yet.
    text: Option<String>,
}

/// Asks the running gateway, then prints or writes.
pub(super) async fn run(
    global: &Global,
    gateway: &Client,
    order: &Order,
    output: &mut Output,
) -> anyhow::Result<()> {
    let models: view::Models = gateway.get("models").await?;
    let models: Vec<Model> = models.models.iter().filter_map(model).collect();
    let base_url = format!("{}/v1", located(global)?.url);
    let export = Export::new(format(order.format), cards(&models), &base_url);
    let Some(path) = &order.write else {
        // It is JSON for people and for programs alike.
        output.line(export.text().trim_end());
        return Ok(());
    };
    if models.is_empty() {
        bail!(
            "the gateway knows no model, so that {} is left as it is; `pointsman doctor` looks closer",
            path.display()
        );
    }
    let changed = update(path, &export)?;
    let written = Written {
        path: path.clone(),
        format: export.format().as_str(),
        changed,
        models: export.models(),
        base_url,
    };
    output.value(&written, || report(&written));
    Ok(())
}

fn report(written: &Written) -> Vec<String> {
    let Written { path, format, changed, models, base_url } = written;
    let path = path.display();
    if !changed {
        return vec![format!("{} {path} has these {models} models already", paint(GOOD, "ok"))];
    }
    let mut lines = vec![format!("{} {path} has {models} models at {base_url}", paint(GOOD, "ok"))];
    if *format != Format::Json.as_str() {
        lines.push(paint(FAINT, format_args!("choose {PROVIDER}/{AUTO} or another of them in {format}")));
    }
    lines
}

fn format(format: ExportFormat) -> Format {
    match format {
        ExportFormat::Openclaw => Format::Openclaw,
        ExportFormat::Opencode => Format::Opencode,
        ExportFormat::Json => Format::Json,
    }
}

/// A model as the gateway says it is; none where this command line is too old to know its kind.
fn model(said: &view::Model) -> Option<Model> {
    let kind = [Kind::Language, Kind::Embedding].into_iter().find(|kind| kind.as_str() == said.kind)?;
    Some(Model {
        id: ModelId::new(said.id.as_str()),
        display_name: said.display_name.clone(),
        kind,
        vision: said.vision,
        tool_use: said.tool_use,
        reasoning: said.reasoning,
        local: said.local,
        max_context: said.max_context,
        size_bytes: said.size_bytes,
        instances: said.instances.iter().filter_map(instance).collect(),
        load_seconds: said.load_seconds,
        costs: Costs { input: said.input_cost, output: said.output_cost },
    })
}

fn instance(said: &view::Instance) -> Option<Instance> {
    let states = [InstanceState::Ready, InstanceState::Loading, InstanceState::Unloading];
    Some(Instance {
        id: InstanceId::new(said.id.as_str()),
        state: states.into_iter().find(|state| state.as_str() == said.state)?,
        context_length: said.context_length,
        in_flight: said.in_flight,
        queued: said.queued,
    })
}

/// Whether the file had to be changed.
fn update(path: &Path, export: &Export) -> anyhow::Result<bool> {
    let unchanged = |what: String| anyhow!("{} is left as it is: {what}", path.display());
    let found = find(path).map_err(|error| unchanged(format!("{error:#}")))?;
    let new = match &found.text {
        None => export.text(),
        Some(text) => match edited(text, export).map_err(|error| unchanged(error.to_string()))? {
            Edited::Same => return Ok(false),
            Edited::Changed(new) => new,
        },
    };
    replace(&found, &new).map_err(|error| unchanged(format!("{error:#}")))?;
    Ok(true)
}

fn find(path: &Path) -> anyhow::Result<Found> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(Found { text: Some(read(&path)?), path }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                bail!("it is a link to nothing; mend it, or take it away");
            }
            Ok(Found { text: None, path: path.to_path_buf() })
        }
        Err(error) => Err(error).context("it cannot be found"),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    // Before it is opened: opening a pipe would wait for its other end.
    let kind = fs::metadata(path).context("it cannot be read")?;
    if !kind.is_file() {
        bail!("it is no file");
    }
    let file = File::open(path).context("it cannot be read")?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).context("it cannot be read")?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!("it has more than {FILE_BYTES_MAX} bytes, which no client's configuration has");
    }
    String::from_utf8(bytes).map_err(|_| anyhow!("it is no text in UTF-8"))
}

/// Puts the text in the file's place, at once: whoever reads it gets the old one or the new one, also after a crash.
fn replace(found: &Found, text: &str) -> anyhow::Result<()> {
    let folder = match found.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!("there is no folder {}; make it first", folder.display());
    }
    // Only its owner reads a new file: such files hold keys.
    let mut file = NamedTempFile::new_in(folder)
        .with_context(|| format!("no file can be made beside it, in {}", folder.display()))?;
    if found.text.is_some() {
        take_after(file.as_file(), &found.path).context("its permissions cannot be kept")?;
    }
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .context("it cannot be written")?;
    if find(&found.path)?.text != found.text {
        bail!("somebody else has just changed it; try again");
    }
    match found.text {
        Some(_) => file.persist(&found.path).map(drop),
        None => file.persist_noclobber(&found.path).map(drop),
    }
    .map_err(|error| error.error)
    .context("it cannot be replaced")?;
    sync(folder);
    Ok(())
}

/// Gives the new file the old one's permissions and, where that is allowed, its owner.
fn take_after(new: &File, old: &Path) -> std::io::Result<()> {
    let old = fs::metadata(old)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let own = new.metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            // Only root may give files away; for everybody else the file was theirs to replace.
            let _ = fchown(new, Some(old.uid()), Some(old.gid()));
        }
    }
    new.set_permissions(old.permissions())
}

/// Makes the new name last. The file is there either way, and not every system can do this.
fn sync(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests;
