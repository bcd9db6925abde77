//! What may be written after `pointsman skill`, `pointsman sessions` and `pointsman use`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::skill::source::Source;
use crate::grant::Grant;
use crate::shelf::sign::PublicKey;

/// `skill`
#[derive(Debug, Subcommand)]
pub enum Skill {
    /// Install a skill from a file, an address or a registry, or a newer version of one
    ///
    /// First it is looked at, without running anything of it outside the sandbox: what it is, what it asks for, who signed
    /// it. What it asks for and is not granted is asked for on a terminal, and denied elsewhere. A version that asks for
    /// more than the one in use waits until it is approved, and that one goes on serving. A signature beside the file
    /// (SOURCE.sig), or in a registry as an annotation, is checked.
    ///
    /// In an OCI registry a skill is the standard artifact for WebAssembly. Its tag is resolved to a digest, which is
    /// written down. Who you are to a registry is what `docker login` or `oras login` wrote down; one on this machine is asked
    /// in plain HTTP, all others in HTTPS.
    #[command(after_long_help = INSTALL_EXAMPLES)]
    Install(Install),
    /// List the skills: which are in use, what they may do, what is wrong with them
    #[command(
        after_long_help = "Examples:\n  pointsman skill list\n  pointsman skill list --json | jq -r '.skills[].name'"
    )]
    List,
    /// Show all that is known of a skill: its grants, its versions, which of them waits for approval
    #[command(after_long_help = "Examples:\n  pointsman skill show my-router")]
    Show {
        /// Its name
        name: String,
    },
    /// Switch a skill on again
    #[command(after_long_help = "Examples:\n  pointsman skill enable my-router")]
    Enable {
        /// Its name
        name: String,
    },
    /// Switch a skill off; it stays installed
    #[command(after_long_help = "Examples:\n  pointsman skill disable my-router")]
    Disable {
        /// Its name
        name: String,
    },
    /// Let a skill use more of what it asks for
    ///
    /// A version that only waited for this serves from then on.
    #[command(after_long_help = GRANT_EXAMPLES)]
    Grant(Granting),
    /// Take back what a skill was granted; those calls then answer `denied`
    ///
    /// A bare `http` takes all its hosts along.
    #[command(after_long_help = "Examples:\n  pointsman skill revoke my-router residency")]
    Revoke(Revoking),
    /// Use a newer version: from SOURCE, or the one that waits for approval
    #[command(after_long_help = UPGRADE_EXAMPLES)]
    Upgrade(Upgrade),
    /// Go back to the version that was in use before
    ///
    /// Once more goes further back. Installing the newer one again returns to it.
    #[command(after_long_help = "Examples:\n  pointsman skill rollback my-router")]
    Rollback {
        /// Its name
        name: String,
    },
    /// Remove an installed skill with all its versions and grants
    ///
    /// A skill of that name that ships with the gateway serves again.
    #[command(after_long_help = "Examples:\n  pointsman skill remove my-router")]
    Remove {
        /// Its name
        name: String,
    },
    /// Sign a component, so that others can see that it is yours
    ///
    /// Writes FILE.sig beside it. The signature counts for these bytes, installed under this name.
    #[command(after_long_help = SIGN_EXAMPLES)]
    Sign(Sign),
    /// Ask a component about a table of cases, without a gateway and without installing it
    ///
    /// It runs in the same sandbox as ever, sees the models that the table names, and nothing that it asks for has an
    /// effect. Exits with 1 where something is not as expected.
    #[command(after_long_help = TEST_EXAMPLES)]
    Test {
        /// The component
        component: PathBuf,
        /// The table, in TOML
        cases: PathBuf,
    },
    /// Try a component on live requests beside the skill that serves, and see where it decides otherwise
    ///
    /// It is asked about every turn that the skill of its name is asked about, after that one has answered. What it says
    /// counts for nothing, and what it does has no effect: what it keeps, wishes and sends stays in the trial. Where it
    /// asks models, they are really asked, unless there are guards. Without SOURCE, shows how the components do that are
    /// being tried. It ends with --stop, or with the gateway.
    #[command(after_long_help = SHADOW_EXAMPLES)]
    Shadow(Shadow),
    /// Ask a component about turns that were recorded, and see where it decides otherwise than was decided
    ///
    /// It is given the time, the chance and the models of each turn; what it does has no effect. Turns are recorded unless
    /// `recording.enabled` is false. No model is asked: a skill that asks some may decide otherwise for that. Works with and
    /// without a running gateway.
    #[command(after_long_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    /// Say whose signatures count; without anything, list them
    #[command(after_long_help = TRUST_EXAMPLES)]
    Trust(Trust),
}

/// `skill install`
#[derive(Debug, Clone, ClapArgs)]
pub struct Install {
    /// A file, an https:// or http:// address, or oci://HOST/REPOSITORY with :TAG or @sha256:…
    pub source: Source,
    /// What it is to be called here [default: the file's name without .wasm, the repository's last part]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How it is installed.
    #[command(flatten)]
    pub terms: Terms,
}

/// How a version comes into use.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Terms {
    /// Grant this too, as in `models`, `residency=all`, `http=api.example.com`; several with commas, or repeated
    #[arg(long = "grant", value_name = "GRANT", value_delimiter = ',')]
    pub grants: Vec<Grant>,
    /// Also a version that is older than the one in use, or was quarantined
    #[arg(long)]
    pub force: bool,
    /// Ask nothing: use it although what it asks for is denied, beyond what --grant says
    #[arg(long, short)]
    pub yes: bool,
}

/// `skill upgrade`
#[derive(Debug, Clone, ClapArgs)]
pub struct Upgrade {
    /// Its name
    pub name: String,
    /// A file, an https://, http:// or oci:// address [default: the version that waits for approval]
    pub source: Option<Source>,
    /// How it is installed.
    #[command(flatten)]
    pub terms: Terms,
}

/// A component that is tried.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Candidate {
    /// The skill that it is to be compared with [default: the file's name without .wasm]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Grant this too, beside what that skill is granted
    #[arg(long = "grant", value_name = "GRANT", value_delimiter = ',')]
    pub grants: Vec<Grant>,
}

/// `skill shadow`
#[derive(Debug, Clone, ClapArgs)]
pub struct Shadow {
    /// A file, or an https:// or http:// address
    pub source: Option<Source>,
    /// As what it is tried.
    #[command(flatten)]
    pub candidate: Candidate,
    /// The component that is tried under this name is asked no more
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "name", "grants"])]
    pub stop: Option<String>,
}

/// `skill replay`
#[derive(Debug, Clone, ClapArgs)]
pub struct Replay {
    /// A file, or an https:// or http:// address
    pub source: Source,
    /// As what it is tried.
    #[command(flatten)]
    pub candidate: Candidate,
    /// How far back, as in `90m`, `24h`, `7days`
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    pub since: Duration,
}

/// `skill grant`, `skill revoke`
#[derive(Debug, Clone, ClapArgs)]
pub struct Granting {
    /// The skill's name
    pub name: String,
    /// models, residency, residency=all, sessions, conversation, inference, kv, kv=SIZE, http=HOST, activity
    #[arg(required = true, value_name = "GRANT", value_delimiter = ',')]
    pub grants: Vec<Grant>,
}

/// `skill revoke`
#[derive(Debug, Clone, ClapArgs)]
pub struct Revoking {
    /// The skill's name
    pub name: String,
    /// As it was granted; a bare `http`, `residency`, `inference` or `kv` is all of its grants
    #[arg(required = true, value_name = "GRANT", value_delimiter = ',', value_parser = Grant::parse_all_of)]
    pub grants: Vec<Grant>,
}

/// `skill sign`
#[derive(Debug, Clone, ClapArgs)]
pub struct Sign {
    /// The component
    pub file: PathBuf,
    /// The file of the key to sign with; it is made where there is none
    #[arg(long, value_name = "KEYFILE")]
    pub key: PathBuf,
    /// What it is to be called where it is installed [default: the file's name without .wasm]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// `skill trust`
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Trust {
    /// What you call whose key it is
    #[arg(requires = "key")]
    pub signer: Option<String>,
    /// The public key that `skill sign` printed: ed25519:…
    pub key: Option<PublicKey>,
    /// This signer's signatures count no longer
    #[arg(long, value_name = "SIGNER", conflicts_with = "signer")]
    pub remove: Option<String>,
}

/// `sessions`
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List the conversations: which model each uses, who decided that, when
    #[command(
        after_long_help = "Examples:\n  pointsman sessions list\n  pointsman sessions list --json | jq -r '.sessions[].session'"
    )]
    List,
    /// Show one conversation
    #[command(after_long_help = "Examples:\n  pointsman sessions show agent:main:telegram")]
    Show {
        /// Its key, as `sessions list` shows it
        key: String,
    },
    /// Forget a conversation: its route, and the model that was picked for it
    #[command(after_long_help = "Examples:\n  pointsman sessions reset agent:main:telegram")]
    Reset {
        /// Its key, as `sessions list` shows it
        key: String,
    },
}

/// `use`
#[derive(Debug, Clone, ClapArgs)]
pub struct Use {
    /// The model's id, its key, the beginning of its name, or an alias; `default` returns to the default
    pub model: String,
    /// Only this conversation, as `sessions list` shows it [default: every one]
    #[arg(long, value_name = "KEY")]
    pub session: Option<String>,
}

const TEST_EXAMPLES: &str = "\
Examples:
  pointsman skill test my-router.wasm cases.toml

A table:
  [[models]]                  # what it sees; also: embedding, vision, tools, reasoning, remote, context, size_mib
  id = \"lmstudio/acme/otter-8b\"
  resident = true
  [[cases]]                   # also: name, last_answer, media, tools, pinned, agent, session, requested, current
  text = \"write me a poem\"
  expect = { verdict = \"route\", model = \"otter\", says = \"poem\" }   # also: fallbacks, swap, status
  [[cases]]                   # a tool call in such a turn; without arguments, the model is still writing them
  call = { name = \"edit\", arguments = { path = \"poem.txt\" }, model = \"lmstudio/acme/otter-8b\" }
  expect = { verdict = \"deny\", says = \"not there\" }

Verdicts on a turn: pass, amend, route, reply, refuse, fail.  On a call: pass, wait, reroute, rewrite, deny, fail.
At the top, also: settings, grants.";

const INSTALL_EXAMPLES: &str = "\
Examples:
  pointsman skill install ./my-router.wasm
  pointsman skill install ./my-router.wasm --grant models,residency
  pointsman skill install https://example.com/skills/weather.wasm --grant http=api.example.com
  pointsman skill install oci://registry.example.com/acme/my-router:1.2
  pointsman skill install ./my-router.wasm --yes            # what it asks for is denied, and it is used

Works with and without a running gateway.";

const SHADOW_EXAMPLES: &str = "\
Examples:
  pointsman skill shadow ./my-router.wasm                   # beside the my-router that serves
  pointsman skill shadow                                    # how it does
  pointsman skill shadow --stop my-router";

const REPLAY_EXAMPLES: &str = "\
Examples:
  pointsman skill replay ./my-router.wasm
  pointsman skill replay ./my-router-2.wasm --name my-router --since 7days
  pointsman skill replay ./my-router.wasm --json | jq '.comparison.differences'";

const GRANT_EXAMPLES: &str = "\
Examples:
  pointsman skill grant my-router models
  pointsman skill grant weather http=api.example.com kv=4MiB
  pointsman skill grant janitor residency=lmstudio/acme/*";

const UPGRADE_EXAMPLES: &str = "\
Examples:
  pointsman skill upgrade my-router                         # the version that waits serves
  pointsman skill upgrade my-router --grant residency       # and is granted what it asks for
  pointsman skill upgrade my-router ./my-router-2.wasm
  pointsman skill upgrade my-router oci://registry.example.com/acme/my-router:2.0";

const SIGN_EXAMPLES: &str = "\
Examples:
  pointsman skill sign my-router.wasm --key ~/.pointsman.key

To a registry the signature goes as an annotation of the artifact:
  oras push registry.example.com/acme/my-router:1.2 --config config.json:application/vnd.wasm.config.v0+json \\
    --annotation \"pointsman.skill.signature=$(cat my-router.wasm.sig)\" my-router.wasm:application/wasm

Keep the key's file to yourself, and hand out the public key that is printed.";

const TRUST_EXAMPLES: &str = "\
Examples:
  pointsman skill trust
  pointsman skill trust acme ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
  pointsman skill trust --remove acme";
