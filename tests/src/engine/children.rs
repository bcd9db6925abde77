//! A router's children: one process for each model in memory, found by their parent, ended by their number.

use std::process::{Command, Stdio};

use crate::tools;

/// What stands before a model's name among its process's arguments.
const BEFORE_NAME: &str = "--alias";

/// A model's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The process's number.
    pub id: u32,
    /// The model.
    pub model: String,
}

/// The processes whose parent this is.
///
/// # Panics
/// Where processes cannot be listed.
pub(super) fn of(parent: u32) -> Vec<Child> {
    let mut list = Command::new("ps");
    list.args(["-A", "-ww", "-o", "pid=", "-o", "ppid=", "-o", "args="]);
    let output = tools::run(&mut list).unwrap_or_else(|error| panic!("`apt-get install procps`: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| child(line, parent)).collect()
}

/// Ends a process at once. One that is gone already is as good.
pub(super) fn kill(id: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-KILL", &id.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = kill.status();
}

/// A line of the list, where it is such a child's: number, parent's number, arguments.
fn child(line: &str, parent: u32) -> Option<Child> {
    let mut words = line.split_whitespace();
    let id = words.next()?.parse().ok()?;
    if words.next()?.parse() != Ok(parent) {
        return None;
    }
    let model = words.skip_while(|word| *word != BEFORE_NAME).nth(1).unwrap_or_default().to_owned();
    Some(Child { id, model })
}

#[cfg(test)]
mod tests {
    use super::{Child, child};

    #[test]
    fn a_line_is_a_child_or_none() {
        let line = "  71  70 /opt/llama-server --host 127.0.0.1 --port 4711 --alias acme/owl --ctx-size 4096";
        assert_eq!(child(line, 70), Some(Child { id: 71, model: "acme/owl".to_owned() }));
        assert_eq!(child(line, 71), None);
        assert_eq!(child("  71  70 sh", 70), Some(Child { id: 71, model: String::new() }));
        assert_eq!(child("", 70), None);
    }
}
