//! Answers `/models`, `/model`, `/skills` and `/why` in the conversation, without a model.
//!
//! [`command`] says which commands there are and how they are written here, [`list`], [`pick`] and [`status`] answer them
//! in [`markdown`]. Every answer is short and bounded; what cannot be done is said in it, so people see what is wrong. It
//! keeps nothing between calls: what was picked is the gateway's to remember.

mod command;
mod list;
mod markdown;
mod pick;
mod settings;
mod status;

use pointsman_sdk::{Command, Error, Manifest, Settings, Skill, Turn, activity, models, skill};

use crate::command::{Name, Prefix};
use crate::list::Listing;
use crate::markdown::code;
use crate::settings::Checked;

/// Late, so that a command of the same name in a skill of the user's own comes first.
const PRIORITY: i32 = 1000;

/// The skill.
#[derive(Debug)]
pub struct ChatCommands {
    settings: Checked,
}

impl Skill for ChatCommands {
    fn describe() -> Manifest {
        let description = "Answers /models, /model, /skills and /why in the conversation";
        Manifest::new("chat-commands", env!("CARGO_PKG_VERSION"), description)
            .priority(PRIORITY)
            .settings_schema(settings::SCHEMA)
            .reusable()
    }

    fn configure(settings: Settings<'_>) -> Result<Self, Error> {
        Ok(Self { settings: settings::read(settings)? })
    }

    fn commands(&self) -> Vec<Command> {
        command::all()
    }

    fn on_command(&self, turn: &Turn, name: &str, arguments: &str) -> Result<String, Error> {
        let unknown = || Error::new("not-found", format!("no command {}", code(name)));
        let name = Name::of(name).ok_or_else(unknown)?;
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        Ok(self.answer(turn, name, &arguments))
    }
}

skill!(ChatCommands: command);

impl ChatCommands {
    fn answer(&self, turn: &Turn, name: Name, arguments: &[&str]) -> String {
        let prefix = Prefix::of(turn, name);
        match (name, arguments) {
            (Name::Models, arguments) => {
                let page_size = self.settings.page_size;
                let (models, current) = (models::all(), turn.current_model.as_str());
                Listing { models: &models, current, page_size, prefix: &prefix }.answer(arguments)
            }
            (Name::Model, []) => pick::show(turn, &prefix),
            (Name::Model, [model]) => pick::set(model, turn, &prefix),
            (Name::Skills, []) => status::skills(&activity::skills()),
            (Name::Why, []) => status::why(&turn.session),
            (Name::Model | Name::Skills | Name::Why, _) => prefix.usage(name),
        }
    }
}
