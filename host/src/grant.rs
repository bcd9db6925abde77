//! Rights: what the user lets a skill use. One grant is one interface of the contract, perhaps with a qualification.
//!
//! Pure. What a skill may do is what its component imports, of that only what was granted; `log`, `clock` and `random`
//! need no grant. Whether a component may be loaded at all is not decided here: an import without a grant loads and
//! answers `denied`.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use wildmatch::WildMatch;

/// An interface of the contract that a skill may use only where the user said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// See the models.
    Models,
    /// Wish for models to be loaded or unloaded.
    Residency,
    /// Read and change which model a session uses.
    Sessions,
    /// Read the conversation behind a turn.
    Conversation,
    /// Ask a model.
    Inference,
    /// The skill's own durable store.
    Kv,
    /// HTTP to named hosts.
    Http,
    /// What the gateway has been doing.
    Activity,
}

/// One permission, as a person writes it: `models`, `residency=all`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// The interface.
    pub capability: Capability,
    /// How far it goes.
    pub scope: Scope,
}

/// How far a grant goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What the contract promises for the bare interface.
    Plain,
    /// `residency=all`: also what people loaded themselves.
    All,
    /// `http=HOST`: this host.
    Host(String),
    /// `residency=PATTERN`, `inference=PATTERN`: models whose id, or key, is like this; `*` stands for anything.
    Models(String),
    /// `kv=SIZE`: so many bytes.
    Bytes(u64),
}

/// What one skill may do: its imports, of these what was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    effective: Vec<Grant>,
    denied: Vec<Capability>,
}

/// A grant that nobody can mean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseGrantError {
    /// No interface has this name.
    #[error("unknown grant `{0}`; known ones are {known}", known = Capability::names())]
    Unknown(String),
    /// The qualification is not one that the interface has.
    #[error("grant `{capability}` does not take `={scope}`{hint}")]
    Scope {
        /// The interface.
        capability: Capability,
        /// What stood after the `=`.
        scope: String,
        /// What it could have been, to be put behind the message.
        hint: &'static str,
    },
    /// `http` without a host would be every host.
    #[error("grant `http` needs a host, as in `http=api.example.com`")]
    HostMissing,
    /// `log`, `clock`, `random`.
    #[error("`{0}` is always there and needs no grant")]
    Always(String),
}

/// The longest host name of the domain name system (RFC 1035, 2.3.4), with room for a port.
const HOST_BYTES_MAX: usize = 253 + 6;

/// Bytes that a skill may keep where the grant names no other size.
pub const KV_BYTES_USUAL: usize = 1 << 20;

/// Bytes that a grant may name: all of it is in memory while the gateway runs.
const KV_BYTES_MOST: u64 = 1 << 30;

/// Bytes of a pattern; the longest model names seen in the wild are below 100.
const PATTERN_BYTES_MAX: usize = 256;

/// Interfaces that every skill may use.
const ALWAYS: [&str; 3] = ["log", "clock", "random"];

// === impl Capability ===

impl Capability {
    /// Every one of them, in the order of the contract.
    pub const ALL: [Self; 8] = [
        Self::Models,
        Self::Residency,
        Self::Sessions,
        Self::Conversation,
        Self::Inference,
        Self::Kv,
        Self::Http,
        Self::Activity,
    ];

    /// The name of the interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Residency => "residency",
            Self::Sessions => "sessions",
            Self::Conversation => "conversation",
            Self::Inference => "inference",
            Self::Kv => "kv",
            Self::Http => "http",
            Self::Activity => "activity",
        }
    }

    /// The capability whose interface has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == name)
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Grant ===

impl Grant {
    /// The bare interface.
    pub fn plain(capability: Capability) -> Self {
        Self { capability, scope: Scope::Plain }
    }

    /// Whoever has this may do all that the other one allows.
    fn covers(&self, other: &Self) -> bool {
        let usual = u64::try_from(KV_BYTES_USUAL).unwrap_or(u64::MAX);
        let goes_as_far = match (&self.scope, &other.scope) {
            (Scope::All, Scope::Plain | Scope::Models(_)) | (Scope::Plain, Scope::Models(_)) => true,
            (Scope::Bytes(mine), Scope::Bytes(theirs)) => mine >= theirs,
            (Scope::Bytes(mine), Scope::Plain) => *mine >= usual,
            (mine, theirs) => mine == theirs,
        };
        self.capability == other.capability && goes_as_far
    }

    /// A grant that is to be taken back: as it was written, or a bare interface for all of its grants, `http` too.
    pub fn parse_all_of(text: &str) -> Result<Self, ParseGrantError> {
        match Capability::from_name(text.trim()) {
            Some(capability) => Ok(Self::plain(capability)),
            None => text.parse(),
        }
    }
}

impl FromStr for Grant {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, ParseGrantError> {
        let text = text.trim();
        let (name, scope) = match text.split_once('=') {
            Some((name, scope)) => (name.trim(), Some(scope.trim())),
            None => (text, None),
        };
        if ALWAYS.contains(&name) {
            return Err(ParseGrantError::Always(name.to_owned()));
        }
        let capability =
            Capability::from_name(name).ok_or_else(|| ParseGrantError::Unknown(name.to_owned()))?;
        Ok(Self { capability, scope: parse_scope(capability, scope)? })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Plain => write!(f, "{}", self.capability),
            Scope::All => write!(f, "{}=all", self.capability),
            Scope::Host(host) => write!(f, "{}={host}", self.capability),
            Scope::Models(pattern) => write!(f, "{}={pattern}", self.capability),
            Scope::Bytes(bytes) => write!(f, "{}={bytes}", self.capability),
        }
    }
}

fn parse_scope(capability: Capability, scope: Option<&str>) -> Result<Scope, ParseGrantError> {
    let refuse =
        |scope: &str, hint| Err(ParseGrantError::Scope { capability, scope: scope.to_owned(), hint });
    match (capability, scope) {
        (Capability::Http, None | Some("")) => Err(ParseGrantError::HostMissing),
        (Capability::Http, Some(host)) if is_host(host) => Ok(Scope::Host(host.to_ascii_lowercase())),
        (Capability::Http, Some(other)) => refuse(other, "; name one host, without scheme or path"),
        (Capability::Residency, Some("all")) => Ok(Scope::All),
        (Capability::Residency | Capability::Inference, Some(pattern)) if is_pattern(pattern) => {
            Ok(Scope::Models(pattern.to_owned()))
        }
        (Capability::Residency, Some(other)) => {
            refuse(other, "; write `all`, or a model's id, with `*` for anything")
        }
        (Capability::Inference, Some(other)) => refuse(other, "; write a model's id, with `*` for anything"),
        (Capability::Kv, Some(size)) => match size.parse::<ByteSize>().map(|size| size.as_u64()) {
            Ok(bytes @ 1..=KV_BYTES_MOST) => Ok(Scope::Bytes(bytes)),
            _ => refuse(size, "; write a size up to 1GiB, as in `kv=4MiB`"),
        },
        (_, Some(other)) => refuse(other, ""),
        (_, None) => Ok(Scope::Plain),
    }
}

fn is_host(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    text.len() <= HOST_BYTES_MAX && text.chars().all(legal)
}

/// A model's id or key, perhaps with `*` in it.
fn is_pattern(text: &str) -> bool {
    let is_legal = |c: char| !c.is_control() && !c.is_whitespace() && c != ',';
    !text.is_empty() && text.len() <= PATTERN_BYTES_MAX && text.chars().all(is_legal)
}

/// The pattern means the model, by its id or by its key.
fn is_like(pattern: &str, model: &str) -> bool {
    let pattern = WildMatch::new(pattern);
    let key = model.split_once('/').map_or(model, |(_, key)| key);
    pattern.matches(model) || pattern.matches(key)
}

// === impl Rights ===

impl Rights {
    /// What is left of `granted` for a component that imports these interfaces. `None` grants all that it imports,
    /// as for the skills that ship with the gateway.
    pub fn effective(imports: &[Capability], granted: Option<&[Grant]>) -> Self {
        let mut rights = Self::default();
        for &capability in imports {
            let before = rights.effective.len();
            match granted {
                None => rights.effective.push(Grant::plain(capability)),
                Some(granted) => {
                    rights.effective.extend(granted.iter().filter(|it| it.capability == capability).cloned());
                }
            }
            if rights.effective.len() == before {
                rights.denied.push(capability);
            }
        }
        rights
    }

    /// Whatever these allow, those allow as well.
    pub fn are_within(&self, those: &Self) -> bool {
        let is_allowed = |grant: &Grant| those.effective.iter().any(|it| it.covers(grant));
        self.effective.iter().all(is_allowed)
    }

    /// The skill may use this interface.
    pub fn allow(&self, capability: Capability) -> bool {
        self.effective.iter().any(|grant| grant.capability == capability)
    }

    /// The skill may unload what people loaded.
    pub fn allow_all_residency(&self) -> bool {
        self.effective.contains(&Grant { capability: Capability::Residency, scope: Scope::All })
    }

    /// The skill may wish for this model, an id, to be loaded or unloaded.
    pub fn allow_residency(&self, model: &str) -> bool {
        self.allow_model(Capability::Residency, model)
    }

    /// The skill may ask this model, an id.
    pub fn allow_inference(&self, model: &str) -> bool {
        self.allow_model(Capability::Inference, model)
    }

    fn allow_model(&self, capability: Capability, model: &str) -> bool {
        let of_it = self.effective.iter().filter(|grant| grant.capability == capability);
        of_it.into_iter().any(|grant| match &grant.scope {
            Scope::Models(pattern) => is_like(pattern, model),
            Scope::Plain | Scope::All | Scope::Host(_) | Scope::Bytes(_) => true,
        })
    }

    /// Bytes that the skill may keep.
    pub fn kv_bytes_max(&self) -> usize {
        let sizes = self.effective.iter().filter_map(|grant| match grant.scope {
            Scope::Bytes(bytes) if grant.capability == Capability::Kv => usize::try_from(bytes).ok(),
            _ => None,
        });
        sizes.max().unwrap_or(KV_BYTES_USUAL)
    }

    /// The hosts that the skill may send requests to, as written.
    pub fn http_hosts(&self) -> impl Iterator<Item = &str> {
        self.effective.iter().filter_map(|grant| match &grant.scope {
            Scope::Host(host) => Some(host.as_str()),
            Scope::Plain | Scope::All | Scope::Models(_) | Scope::Bytes(_) => None,
        })
    }

    /// What is in force.
    pub fn grants(&self) -> &[Grant] {
        &self.effective
    }

    /// What the component imports and was not granted.
    pub fn denied(&self) -> &[Capability] {
        &self.denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_compared() {
        let all = Capability::ALL;
        let rights = |granted: &str| {
            let granted: Vec<Grant> = granted.split_whitespace().map(|it| it.parse().unwrap()).collect();
            Rights::effective(&all, Some(&granted))
        };
        for (less, more, is_within) in [
            ("", "models", true),
            ("models", "", false),
            ("models kv", "kv models http=a.b", true),
            ("models", "kv", false),
            ("http=a.b", "http=b.c http=a.b", true),
            ("http=a.b", "http=b.c", false),
            ("residency", "residency=all", true),
            ("residency=all", "residency", false),
            ("residency=a*", "residency", true),
            ("residency", "residency=a*", false),
            ("inference=a*", "inference=b*", false),
            ("kv=2MiB", "kv=3MiB", true),
            ("kv=3MiB", "kv=2MiB", false),
            ("kv", "kv=2MiB", true),
            ("kv", "kv=2KiB", false),
        ] {
            assert_eq!(rights(less).are_within(&rights(more)), is_within, "{less:?} within {more:?}");
        }
        let unsaid = Rights::effective(&[Capability::Models, Capability::Kv], None);
        assert!(rights("models").are_within(&unsaid) && !unsaid.are_within(&rights("models")));
    }

    #[test]
    fn grants_parse() {
        let cases = [
            ("models", Ok("models")),
            (" residency ", Ok("residency")),
            ("residency=all", Ok("residency=all")),
            ("residency = all", Ok("residency=all")),
            ("http=API.example.com", Ok("http=api.example.com")),
            ("http=127.0.0.1:8080", Ok("http=127.0.0.1:8080")),
            (
                "model",
                Err(
                    "unknown grant `model`; known ones are models, residency, sessions, conversation, inference, kv, http, activity",
                ),
            ),
            (
                "Models",
                Err(
                    "unknown grant `Models`; known ones are models, residency, sessions, conversation, inference, kv, http, activity",
                ),
            ),
            (
                "",
                Err(
                    "unknown grant ``; known ones are models, residency, sessions, conversation, inference, kv, http, activity",
                ),
            ),
            ("models=all", Err("grant `models` does not take `=all`")),
            ("residency=acme/*", Ok("residency=acme/*")),
            ("inference=lmstudio/text-embedding-x", Ok("inference=lmstudio/text-embedding-x")),
            (
                "residency=",
                Err(
                    "grant `residency` does not take `=`; write `all`, or a model's id, with `*` for anything",
                ),
            ),
            (
                "inference=a b",
                Err("grant `inference` does not take `=a b`; write a model's id, with `*` for anything"),
            ),
            ("kv", Ok("kv")),
            ("kv=4MiB", Ok("kv=4194304")),
            ("kv=0", Err("grant `kv` does not take `=0`; write a size up to 1GiB, as in `kv=4MiB`")),
            ("kv=-1", Err("grant `kv` does not take `=-1`; write a size up to 1GiB, as in `kv=4MiB`")),
            ("kv=2GiB", Err("grant `kv` does not take `=2GiB`; write a size up to 1GiB, as in `kv=4MiB`")),
            ("http", Err("grant `http` needs a host, as in `http=api.example.com`")),
            ("http=", Err("grant `http` needs a host, as in `http=api.example.com`")),
            (
                "http=https://x/y",
                Err("grant `http` does not take `=https://x/y`; name one host, without scheme or path"),
            ),
            ("log", Err("`log` is always there and needs no grant")),
        ];
        for (text, expected) in cases {
            let parsed = text.parse::<Grant>().map(|it| it.to_string()).map_err(|it| it.to_string());
            assert_eq!(parsed, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_grant_goes_as_far_as_it_says() {
        use Capability::{Http, Inference, Kv, Residency};
        let rights = |grants: &[&str]| {
            let grants: Vec<Grant> = grants.iter().map(|text| text.parse().unwrap()).collect();
            Rights::effective(&[Residency, Inference, Kv, Http], Some(&grants))
        };
        let narrow =
            rights(&["residency=acme/*", "inference=lmstudio/owl", "kv=10", "http=a.example", "http=b:1"]);
        let model = "lmstudio/acme/otter";
        assert!(narrow.allow_residency(model) && narrow.allow_residency("q/acme/x"));
        assert!(!narrow.allow_residency("lmstudio/other/otter") && !narrow.allow_all_residency());
        assert!(narrow.allow_inference("lmstudio/owl") && !narrow.allow_inference("q/owl"));
        assert_eq!(narrow.kv_bytes_max(), 10);
        assert_eq!(narrow.http_hosts().collect::<Vec<_>>(), ["a.example", "b:1"]);
        let wide = rights(&["residency", "inference", "kv"]);
        assert!(wide.allow_residency(model) && wide.allow_inference(model));
        assert_eq!(wide.kv_bytes_max(), KV_BYTES_USUAL);
        let none = rights(&[]);
        assert!(!none.allow_residency(model) && !none.allow_inference(model));
        assert_eq!(none.http_hosts().count(), 0);
    }

    #[test]
    fn rights_are_imports_that_were_granted() {
        use Capability::{Kv, Models, Residency};
        // imports, grants, in force, denied, may unload what people loaded
        type Case = (
            &'static [Capability],
            Option<&'static [&'static str]>,
            &'static [&'static str],
            &'static [Capability],
            bool,
        );
        let cases: [Case; 6] = [
            (&[Models, Kv], None, &["models", "kv"], &[], false),
            (&[Models, Kv], Some(&["kv"]), &["kv"], &[Models], false),
            (&[Models], Some(&[]), &[], &[Models], false),
            (&[], Some(&["models", "residency=all"]), &[], &[], false),
            (&[Residency], Some(&["residency=all"]), &["residency=all"], &[], true),
            (&[Residency], None, &["residency"], &[], false),
        ];
        for (imports, granted, effective, denied, all) in cases {
            let granted: Option<Vec<Grant>> =
                granted.map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect());
            let rights = Rights::effective(imports, granted.as_deref());
            let shown: Vec<String> = rights.grants().iter().map(Grant::to_string).collect();
            assert_eq!(
                (shown.as_slice(), rights.denied()),
                (effective.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().as_slice(), denied)
            );
            assert_eq!(rights.allow_all_residency(), all);
            assert!(imports.iter().all(|it| rights.allow(*it) != denied.contains(it)));
        }
    }
}
