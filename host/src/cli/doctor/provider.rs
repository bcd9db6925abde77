//! What a model server's answer means: whether it is there and lets us in, whether it is what the configuration says, and
//! what the gateway can do with it. Pure.
//!
//! What only concerns servers of one kind is in that kind's file.

use super::configured::{Configured, in_words};
use super::finding::Finding;
use super::models::Answered;
use super::probe::{Facts, Own, Probed, TIMEOUT};
use super::{llama_server, lmstudio, ollama};
use crate::provider::{Control, Locality, ServerKind};

pub(super) const ABOUT: &str = "provider";

/// What it means.
pub(super) fn judge(configured: &Configured<'_>, probed: &Probed) -> Vec<Finding> {
    let Configured { name, provider, .. } = configured;
    let (url, place) = (&provider.url, format!("`url` under {}", configured.table()));
    let fail = |message: String, mend: String| vec![Finding::fail(ABOUT, format!("{name}: {message}"), mend)];
    match probed {
        Probed::Server(facts) => server(configured, facts),
        Probed::Unauthorised => vec![unauthorised(configured)],
        Probed::Gateway => fail(
            format!("what answers at {url} is a Pointsman: requests would go round in circles"),
            format!(
                "name the model server's own address as {place} (and not in OPENAI_API_BASE, which is read too)"
            ),
        ),
        Probed::Unreachable(why) => fail(
            format!("nothing answers at {url}: {why}"),
            format!("{}, or correct {place}", start(provider.kind)),
        ),
        Probed::Silent => fail(
            format!("{url} takes connections but does not answer within {}", in_words(TIMEOUT)),
            "see in its own log or window what it is doing, and restart it if it hangs".to_owned(),
        ),
        Probed::Unknown(said) => fail(
            format!("what answers at {url} is no model server that is known ({said})"),
            format!(
                "name the model server's address as {place}; LM Studio's is http://127.0.0.1:1234 unless changed in its Developer tab"
            ),
        ),
    }
}

/// The gateway sees its own requests only.
pub(super) fn bypassing(answered: &[Answered<'_>]) -> Option<Finding> {
    let is_ours =
        |(configured, facts): &Answered<'_>| configured.is_gateways() && facts.control == Control::Full;
    let message = "only requests that come through Pointsman are waited for before a model is unloaded: a client that talks to a model \
                   server directly is not protected";
    let mend = "point every client at Pointsman's address (see `listen`)";
    answered.iter().any(is_ours).then(|| Finding::note("clients", message, mend))
}

fn server(configured: &Configured<'_>, facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = disagreement(configured, facts.kind).into_iter().collect();
    findings.extend(match &facts.own {
        Own::LmStudio { lists_unloaded } => lmstudio::judge(configured, facts, *lists_unloaded),
        Own::LlamaServer(settings) => llama_server::judge(configured, facts, settings),
        Own::Nothing if facts.kind == ServerKind::Ollama => ollama::judge(configured, facts),
        Own::Nothing => vec![compatible(configured, facts)],
    });
    findings
}

/// What is configured does not answer, or more does than is made use of.
fn disagreement(configured: &Configured<'_>, found: ServerKind) -> Option<Finding> {
    let Configured { name, provider, .. } = configured;
    let said = provider.kind.filter(|said| *said != found)?;
    let message = format!(
        "{name}: what answers at {} is {}, and the configuration says `kind = \"{}\"`",
        provider.url,
        called(found),
        said.as_str()
    );
    let table = configured.table();
    let right = format!("write `kind = \"{}\"` under {table}, or leave `kind` out", found.as_str());
    Some(match (said, found) {
        // Every one of them speaks OpenAI's protocol as well: it works, but nothing is loaded or unloaded.
        (ServerKind::OpenAi, _) => Finding::warn(
            ABOUT,
            format!("{message}: its models are neither loaded nor unloaded, and count as always there"),
            right,
        ),
        _ => Finding::fail(ABOUT, message, format!("{right}; or correct `url` there")),
    })
}

/// A server that can only be listed.
fn compatible(configured: &Configured<'_>, facts: &Facts) -> Finding {
    let Configured { name, provider, .. } = configured;
    let place = match provider.locality {
        Locality::Local => "",
        Locality::Remote => "; what is sent to it leaves your machines",
    };
    Finding::ok(
        ABOUT,
        format!(
            "{name}: a server of OpenAI's protocol answers at {} with {}; which of them are in memory is its own business{place}",
            provider.url,
            models(facts)
        ),
    )
}

/// How a server of this kind is started.
fn start(kind: Option<ServerKind>) -> &'static str {
    match kind {
        None | Some(ServerKind::LmStudio) => {
            "start LM Studio's server (Developer tab, or `lms server start`)"
        }
        Some(ServerKind::LlamaServer) => {
            "start llama-server (without `-m`, with `--models-dir DIR`, it serves many models)"
        }
        Some(ServerKind::Ollama) => "start Ollama (its app, or `ollama serve`)",
        Some(ServerKind::OpenAi) => "start the server",
    }
}

fn unauthorised(configured: &Configured<'_>) -> Finding {
    let Configured { name, provider, .. } = configured;
    let (url, table) = (&provider.url, configured.table());
    let is_lm_studio = matches!(provider.kind, None | Some(ServerKind::LmStudio));
    let (variable, origin) = if is_lm_studio {
        ("LM_API_TOKEN or ", "make one in LM Studio (Developer tab, server settings)")
    } else {
        ("", "take it from the server's settings")
    };
    match provider.key {
        None => Finding::fail(
            ABOUT,
            format!("{name}: the server at {url} wants an API token"),
            format!("{origin} and set {variable}`key` under {table}"),
        ),
        Some(_) => Finding::fail(
            ABOUT,
            format!("{name}: the server at {url} does not take the configured API token"),
            format!(
                "correct {variable}`key` under {table}; the token needs the right to see and load models"
            ),
        ),
    }
}

/// A kind in a sentence.
pub(super) fn called(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::LmStudio => "LM Studio",
        ServerKind::LlamaServer => "a llama-server",
        ServerKind::Ollama => "Ollama",
        ServerKind::OpenAi => "a server of OpenAI's protocol",
    }
}

/// How many models it has.
pub(super) fn models(facts: &Facts) -> String {
    match facts.models.len() {
        1 => "one model".to_owned(),
        count => format!("{count} models"),
    }
}

/// The server was left to itself though it could be told.
pub(super) fn left_to_itself(configured: &Configured<'_>, facts: &Facts) -> Option<Finding> {
    let is_told = configured.is_gateways() || facts.control == Control::ListOnly;
    let message = format!(
        "{}: `residency = \"provider\"`: it loads and unloads as it likes, and nobody waits for running answers before it does",
        configured.name
    );
    let mend =
        format!("take that line out under {} to have Pointsman look after its memory", configured.table());
    (!is_told).then(|| Finding::note(ABOUT, message, mend))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::tests::{at, facts};
    use super::*;

    const KINDS: [ServerKind; 4] =
        [ServerKind::LmStudio, ServerKind::LlamaServer, ServerKind::Ollama, ServerKind::OpenAi];

    #[test]
    fn whatever_is_no_server_is_told_apart_and_mended() {
        let kinds = [
            (Probed::Gateway, "in circles"),
            (Probed::Unknown("status 200".to_owned()), "status 200"),
            (Probed::Unreachable("refused".to_owned()), "refused"),
            (Probed::Silent, "within 10s"),
            (Probed::Unauthorised, "wants an API token"),
        ];
        for (probed, part) in kinds {
            let findings = at("", |configured| judge(configured, &probed));
            let [finding] = findings.as_slice() else { panic!("{findings:?}") };
            assert!(finding.level == Level::Fail && finding.message.contains(part), "{finding:?}");
            assert!(finding.mend.as_ref().is_some_and(|mend| !mend.is_empty()));
        }
    }

    #[test]
    fn the_configured_kind_is_held_against_what_answers() {
        for said in KINDS {
            for found in KINDS {
                let toml = format!("kind = \"{}\"", said.as_str());
                let finding = at(&toml, |configured| disagreement(configured, found));
                let level = match (said, found) {
                    _ if said == found => None,
                    (ServerKind::OpenAi, _) => Some(Level::Warn),
                    _ => Some(Level::Fail),
                };
                assert_eq!(finding.as_ref().map(|it| it.level), level, "{said:?} {found:?}");
                let mend = finding.and_then(|it| it.mend).unwrap_or_default();
                assert!(
                    level.is_none() || mend.contains(&format!("kind = \"{}\"", found.as_str())),
                    "{mend}"
                );
            }
        }
    }

    #[test]
    fn servers_are_started_in_their_own_way() {
        for (kind, part) in
            KINDS.iter().zip(["lms server start", "--models-dir", "ollama serve", "the server"])
        {
            let toml = format!("kind = \"{}\"", kind.as_str());
            let probed = Probed::Unreachable("refused".to_owned());
            let mend = at(&toml, |configured| judge(configured, &probed))[0].mend.clone().unwrap();
            assert!(mend.contains(part), "{mend}");
        }
    }

    #[test]
    fn a_compatible_server_is_in_order() {
        let facts = facts(ServerKind::OpenAi, Control::ListOnly, Vec::new(), Own::Nothing);
        for (toml, leaves) in [("local = false", true), ("local = true", false)] {
            let findings = at(toml, |configured| server(configured, &facts));
            assert_eq!((findings.len(), findings[0].level), (1, Level::Ok));
            assert_eq!(findings[0].message.contains("leaves your machines"), leaves);
        }
    }

    #[test]
    fn clients_that_go_past_are_spoken_of_where_memory_is_looked_after() {
        for (toml, control, is_said) in [
            ("", Control::Full, true),
            ("", Control::ListOnly, false),
            ("residency = \"provider\"", Control::Full, false),
        ] {
            let facts = facts(ServerKind::Ollama, control, Vec::new(), Own::Nothing);
            let finding = at(toml, |configured| bypassing(&[(*configured, facts.clone())]));
            assert_eq!(finding.map(|it| it.level), is_said.then_some(Level::Ok), "{toml} {control:?}");
        }
    }
}
