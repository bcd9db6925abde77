//! What may be written on the command line, and every word of its help. Parsed by clap, decided nowhere here.

mod skill;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::skill::compiler::Target;

pub use skill::{
    Candidate, Granting, Install, Replay, Revoking, Sessions, Shadow, Sign, Skill, Terms, Trust, Upgrade, Use,
};

/// One binary between AI agents and local model servers: skills decide which model serves each request, and the gateway
/// loads it, serves the whole task and puts the previous model back.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
    bin_name = "pointsman",
    version,
    about = "A gateway between AI agents and local model servers",
    after_long_help = EXAMPLES,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pointsman demo                        see it at work; needs nothing else
  pointsman doctor                      what is wrong here, and how to mend it
  pointsman serve                       serve on 127.0.0.1:8484, LM Studio behind it
  pointsman models list                 what can be served, and what is in memory
  pointsman skill install ./x.wasm      let a skill decide which model serves what
  pointsman use qwen3-8b                switch the model, for every conversation
  pointsman why                         why the last request went where it went

Point clients at http://127.0.0.1:8484/v1 as at any OpenAI-compatible server.

Exit codes: 0 ok, 1 failed, 2 wrong usage.";

/// What every command takes.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Global {
    /// The running gateway that commands talk to [default: where the configuration says that it listens]
    #[arg(long, global = true, env = "POINTSMAN_URL", value_name = "URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// Folder of the gateway's state: its admin token, its skills [default: the platform's data folder]
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_DATA_DIR",
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON value for programs instead of lines for people
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway until it is told to stop (Ctrl-C, SIGTERM)
    ///
    /// The first signal ends it gently: no new connections, running answers are finished, the models that were there
    /// before are put back. A second one ends it at once.
    #[command(after_long_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Watch a specialist swap: an emulated LM Studio and a gateway inside, one conversation, a timeline
    ///
    /// Needs no configuration, no LM Studio, no model and no network. With `--engine llama-server` the swap is a real
    /// engine's, between two models that are written for it on the spot. Free ports and a temporary folder are used, and
    /// nothing is left behind. Exits with 0 only if everything happened as it should.
    #[command(after_long_help = DEMO_EXAMPLES)]
    Demo(Demo),
    /// Look for what is wrong: configuration, ports, providers, models, skills; and say how to mend it
    ///
    /// Works with and without a running gateway and changes nothing. Exits with 1 if something fails.
    #[command(after_long_help = DOCTOR_EXAMPLES)]
    Doctor(FromFile),
    /// See the models, load one, unload one, tell clients of them
    #[command(subcommand)]
    Models(Models),
    /// Install skills, say what they may do, switch them, go back to an older version
    ///
    /// Asks the running gateway, which uses what changes at once; where none runs, works on the data folder, and the
    /// gateway uses it when it starts.
    #[command(subcommand)]
    Skill(Skill),
    /// Switch the model, for every conversation or for one, without a restart
    ///
    /// What skills decide for a turn still goes before. Lasts until another one is picked, over restarts too.
    #[command(after_long_help = USE_EXAMPLES)]
    Use(Use),
    /// See the conversations, forget one
    #[command(subcommand)]
    Sessions(Sessions),
    /// Explain where a request went: the decision, skill by skill, with times
    ///
    /// Without REQUEST the newest is explained. Every answer names its request in the header x-pointsman-request. The
    /// gateway remembers the last 1000 requests of its run, and no message texts.
    #[command(after_long_help = WHY_EXAMPLES)]
    Why {
        /// The request's id
        request: Option<String>,
    },
    /// See what the gateway has been doing, a line a request
    #[command(after_long_help = ACTIVITY_EXAMPLES)]
    Activity(Activity),
    /// Work on the configuration
    #[command(subcommand)]
    Config(Config),
    /// Compile the component on standard input for this engine, for the gateway that asks for it
    #[command(hide = true)]
    CompileComponent(CompileComponent),
}

/// `compile-component`: what the code is for, in the order of [`crate::skill::compiler::Target`].
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct CompileComponent {
    /// Whether memory is reserved up front
    #[arg(action = clap::ArgAction::Set)]
    pub pooled: bool,
    /// Bytes of memory of an instance
    pub memory_bytes_max: usize,
    /// Elements of its tables
    pub table_elements_max: usize,
}

/// `activity`
#[derive(Debug, ClapArgs)]
pub struct Activity {
    /// Go on, and print each request when it has ended
    #[arg(long, short)]
    pub follow: bool,
    /// How many of the last requests to begin with; the gateway remembers 1000
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
}

const ACTIVITY_EXAMPLES: &str = "\
Examples:
  pointsman activity
  pointsman activity --follow
  pointsman activity --follow --json | jq -r '.model'";

const SERVE_EXAMPLES: &str = "\
Examples:
  pointsman serve
  pointsman serve --listen 127.0.0.1:9000 --log debug
  pointsman serve --config /etc/pointsman.toml --log-format json
  OPENAI_API_BASE=http://192.168.1.20:1234/v1 pointsman serve";

const DEMO_EXAMPLES: &str = "\
Examples:
  pointsman demo
  pointsman demo --engine llama-server
  pointsman demo --llama-server ~/llama.cpp/build/bin/llama-server
  pointsman demo --json | jq .ok";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  pointsman doctor
  pointsman doctor --config pointsman.toml
  pointsman doctor --json | jq '.findings[] | select(.level != \"ok\")'";

const USE_EXAMPLES: &str = "\
Examples:
  pointsman use qwen3-8b
  pointsman use gpt-oss --session agent:main:telegram
  pointsman use default";

const WHY_EXAMPLES: &str = "\
Examples:
  pointsman why
  pointsman why r5f3a20c1
  pointsman why --json | jq .attempts";

/// `serve`
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// Where the configuration is.
    #[command(flatten)]
    pub file: FromFile,
    /// Address and port that clients connect to [default: 127.0.0.1:8484]; anything but loopback needs `[keys]`
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// How log lines look [default: pretty on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or per room as in `info,pointsman::residency=debug`
    #[arg(long, env = "POINTSMAN_LOG", value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// `demo`
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Demo {
    /// What the models are in [default: lmstudio]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// The program, for `--engine llama-server` [default: the llama-server in PATH]
    #[arg(long, value_name = "PATH")]
    pub llama_server: Option<PathBuf>,
}

/// What the demonstration's models are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// An emulated LM Studio, in this program.
    Lmstudio,
    /// llama.cpp's server, a real engine, which has to be installed.
    LlamaServer,
}

/// Where the configuration is.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct FromFile {
    /// The configuration file [default: pointsman.toml here, else in the platform's configuration folder, else none]
    #[arg(long, env = "POINTSMAN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// `models`
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models that can be served, and which are in memory
    #[command(
        after_long_help = "Examples:\n  pointsman models list\n  pointsman models list --json | jq -r '.models[].id'"
    )]
    List,
    /// Load a model and wait until it is there; it then stays, in place of what it displaced
    ///
    /// Running requests are never hurt: the load waits for those that are in the way.
    #[command(after_long_help = LOAD_EXAMPLES)]
    Load {
        /// Its id, its key, the beginning of its name, or an alias
        model: String,
        /// Tokens of context, at least
        #[arg(long, value_name = "N")]
        context_length: Option<NonZeroU32>,
        /// Never push it out for another model, until it is unloaded
        #[arg(long)]
        pin: bool,
    },
    /// Unload a model, whoever loaded it, once nobody uses it
    #[command(after_long_help = "Examples:\n  pointsman models unload gpt-oss")]
    Unload {
        /// Its id, its key, the beginning of its name, or an alias
        model: String,
    },
    /// Print the models as a client's configuration, or write them into the client's own file
    ///
    /// `auto` comes first, with the largest context of all language models. What a provider does not say of a model is
    /// filled in: 128000 tokens of context, 8192 of output, reasoning if its name has `reasoning`, `r1` or `think`, cost 0.
    #[command(after_long_help = EXPORT_EXAMPLES)]
    Export(Export),
}

/// `models export`
#[derive(Debug, ClapArgs)]
pub struct Export {
    /// Whose configuration it is to be
    #[arg(long, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// Update this file instead of printing, and only if something changed
    ///
    /// Of a client's file only the provider `pointsman` is replaced, and of that not what you have set yourself: its key,
    /// headers and time-out. Everything else stays as it is, comments too. A file that is not there is made.
    #[arg(long, value_name = "PATH")]
    pub write: Option<PathBuf>,
}

/// Whose configuration the models are exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// OpenClaw: `models.providers.pointsman` of openclaw.json.
    Openclaw,
    /// opencode: `provider.pointsman` of opencode.json or opencode.jsonc.
    Opencode,
    /// All that is known, for scripts.
    Json,
}

const LOAD_EXAMPLES: &str = "\
Examples:
  pointsman models load gpt-oss
  pointsman models load qwen3-8b --context-length 32768 --pin";

const EXPORT_EXAMPLES: &str = "\
Examples:
  pointsman models export --format openclaw
  pointsman models export --format openclaw --write ~/.openclaw/openclaw.json
  pointsman models export --format opencode --write ~/.config/opencode/opencode.json
  pointsman models export --format json | jq -r '.models[].id'
  pointsman models export --format opencode --url http://192.168.1.20:8484

Clients are told the address that this command reaches the gateway at. In the client, choose the model
`pointsman/auto`, or any other of the list.";

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Read the configuration and say all that is wrong with it
    #[command(
        after_long_help = "Examples:\n  pointsman config check\n  pointsman config check --config pointsman.toml"
    )]
    Check(FromFile),
    /// Print what the file says of a key
    #[command(
        after_long_help = "Examples:\n  pointsman config get defaults.model\n  pointsman config get residency.local"
    )]
    Get(ConfigKey),
    /// Write a key into the file, or take it out; a gateway that runs takes it at once
    ///
    /// The file's comments stay, and a change that would make it wrong is not made.
    #[command(
        after_long_help = "Examples:\n  pointsman config set defaults.model gpt-oss-20b\n  pointsman config set residency.local.max_loaded 2\n  pointsman config set 'models.\"acme/otter-8b\".local' true\n  pointsman config set defaults.model --unset"
    )]
    Set(ConfigSet),
    /// Have the gateway that runs read its configuration again, now
    ///
    /// It looks at its file every second by itself. Nothing is dropped, and no model is unloaded; what is wrong changes nothing.
    Reload,
    /// Print what may be written, as a JSON Schema
    Schema,
}

/// `config get`
#[derive(Debug, ClapArgs)]
pub struct ConfigKey {
    /// The key, with dots between its parts and quotes around a part that has dots or slashes
    pub key: String,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `config set`
#[derive(Debug, ClapArgs)]
pub struct ConfigSet {
    /// The key, with dots between its parts and quotes around a part that has dots or slashes
    pub key: String,
    /// The value, as TOML; what is none is a text
    #[arg(required_unless_present = "unset", allow_hyphen_values = true)]
    pub value: Option<String>,
    /// Take the key out, so that its default holds
    #[arg(long, conflicts_with = "value")]
    pub unset: bool,
    /// Configuration file; where there is none yet, it is made
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

// === impl CompileComponent ===

impl CompileComponent {
    /// The engine that it is for.
    pub fn target(self) -> Target {
        let Self { pooled, memory_bytes_max, table_elements_max } = self;
        Target { pooled, memory_bytes_max, table_elements_max }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in
                command.get_arguments().filter(|it| !["help", "version"].contains(&it.get_id().as_str()))
            {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Args::command());
    }

    #[test]
    fn what_is_documented_can_be_written() {
        for line in [
            "serve --config x.toml --listen 127.0.0.1:1 --data-dir /d --log-format json --log debug",
            "demo --json",
            "demo --engine lmstudio",
            "demo --engine llama-server --llama-server /opt/llama-server --json",
            "demo --llama-server llama-server",
            "doctor --url http://x",
            "models list --json",
            "models load gpt-oss --context-length 4096 --pin",
            "models unload gpt-oss",
            "models export --format openclaw",
            "models export --format opencode --write x.json --json",
            "models export --format json",
            "skill install ./x.wasm --name x --grant models,residency=all --grant http=a.example --force --yes",
            "skill install https://example.com/x.wasm --json",
            "skill list --json",
            "skill show x",
            "skill enable x",
            "skill disable x",
            "skill grant x models kv=4MiB",
            "skill revoke x models,residency",
            "skill revoke x http",
            "skill upgrade x",
            "skill upgrade x ./y.wasm --grant models --yes",
            "skill rollback x",
            "skill remove x",
            "skill sign x.wasm --key k --name y",
            "skill trust",
            "skill trust acme ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "skill trust --remove acme",
            "use qwen3-8b --session s",
            "use default",
            "sessions list --json",
            "sessions show s",
            "sessions reset s",
            "why",
            "why r1 --json",
            "config check --config x.toml",
            "config reload --json",
        ] {
            let words = std::iter::once("pointsman").chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "",
            "serve --listen nowhere",
            "models load",
            "models load x --context-length 0",
            "demo --engine ollama",
            "models export",
            "models export --format yaml",
            "skill install",
            "skill install oci://box/x",
            "skill install oci://me:secret@example.com/x",
            "skill install ftp://example.com/x",
            "skill install x.wasm --grant http",
            "skill install x.wasm --grant everything",
            "skill grant x",
            "skill grant x http",
            "skill sign x.wasm",
            "skill trust acme",
            "skill trust acme nonsense",
            "skill upgrade",
            "use",
            "sessions",
            "frobnicate",
        ] {
            let words = std::iter::once("pointsman").chain(line.split(' ').filter(|it| !it.is_empty()));
            assert_eq!(Args::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
