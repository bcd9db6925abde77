//! The gateway itself: whether one runs, whether this user may ask it, and, where none does, whether one could.

use std::time::Duration;

use super::finding::Finding;
use crate::admin::view::Status;
use crate::cli::args::Global;
use crate::cli::client::{Client, Place, Presence, presence};
use crate::config::Config;

const ABOUT: &str = "gateway";

/// What runs where a gateway is expected, and what it says of itself.
pub(super) async fn look(
    global: &Global,
    config: &Config,
    place: Place,
) -> anyhow::Result<(Vec<Finding>, Option<Status>)> {
    let url = place.url.clone();
    match presence(&url).await? {
        Presence::Gateway => Ok(ask(place).await),
        Presence::Stranger => {
            let mend = "stop it, or let Pointsman listen elsewhere: `pointsman serve --listen 127.0.0.1:8485`, or `listen` in the \
                        configuration";
            Ok((
                vec![Finding::fail(ABOUT, format!("something that is no Pointsman answers at {url}"), mend)],
                None,
            ))
        }
        Presence::Nothing if global.url.is_some() => {
            let mend = "start it there with `pointsman serve`, or correct --url (POINTSMAN_URL)";
            Ok((vec![Finding::fail(ABOUT, format!("no gateway answers at {url}"), mend)], None))
        }
        Presence::Nothing => Ok((vec![port(config).await], None)),
    }
}

async fn ask(place: Place) -> (Vec<Finding>, Option<Status>) {
    let url = place.url.clone();
    let status = match Client::new(place).await {
        Ok(client) => client.get::<Status>("status").await,
        Err(error) => Err(error),
    };
    match status {
        Ok(status) => (judge(&url, &status), Some(status)),
        Err(error) => {
            let message = format!("a gateway runs at {url}, but cannot be asked: {error:#}");
            let mend = "run this as the user that runs the gateway, with the same --data-dir";
            (vec![Finding::warn(ABOUT, message, mend)], None)
        }
    }
}

fn judge(url: &str, status: &Status) -> Vec<Finding> {
    let up = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    let mut findings =
        vec![Finding::ok(ABOUT, format!("version {} runs at {url}, up for {up}", status.version))];
    let own = env!("CARGO_PKG_VERSION");
    if status.version != own {
        let message = format!("the gateway that runs is version {}, this program is {own}", status.version);
        findings.push(Finding::warn(ABOUT, message, "restart the gateway with this program"));
    }
    for provider in status.providers.iter().filter(|provider| provider.state == "down") {
        let why = provider.error.as_deref().unwrap_or("no answer");
        let message = format!("the gateway does not reach {} at {}: {why}", provider.name, provider.url);
        findings.push(Finding::fail(
            ABOUT,
            message,
            "see what is said of the provider below; the gateway tries again by itself",
        ));
    }
    findings.extend(configuration(status));
    findings
}

/// What the gateway has not taken of its configuration.
fn configuration(status: &Status) -> impl Iterator<Item = Finding> {
    let told = &status.configuration;
    let file = told.file.as_deref().unwrap_or("the configuration");
    let refused = told.problems.iter().map(move |problem| {
        let message = format!("the gateway goes on with what it had before, since in {file} {problem}");
        Finding::fail(ABOUT, message, "correct it; the gateway looks at the file every second")
    });
    let late = told.at_next_start.iter().map(|key| {
        let message = format!("`{key}` was changed, and takes effect at the next start");
        Finding::warn(ABOUT, message, "restart the gateway when nobody uses it")
    });
    refused.chain(late)
}

/// Nobody listens: would the gateway be able to?
async fn port(config: &Config) -> Finding {
    let listen = config.listen;
    match tokio::net::TcpListener::bind(listen).await {
        Ok(_) => Finding::ok(ABOUT, format!("none runs; {listen} is free for `pointsman serve`")),
        Err(error) => {
            let mend = "name another address: `pointsman serve --listen 127.0.0.1:8485`, or `listen` in the configuration";
            Finding::fail(ABOUT, format!("none runs, and none could listen on {listen}: {error}"), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::admin::view::{ConfigProblem, Configuration, Provider};

    #[test]
    fn a_gateway_is_judged_by_what_it_says() {
        let provider = Provider {
            name: "lmstudio".to_owned(),
            kind: "lmstudio".to_owned(),
            url: "http://x".to_owned(),
            state: "down".to_owned(),
            error: Some("refused".to_owned()),
        };
        let mut status = Status {
            version: "0.0.1".to_owned(),
            uptime_seconds: 3_700,
            generation: 1,
            providers: vec![provider],
            skills: Vec::new(),
            config_file: None,
            configuration: Configuration::default(),
            data_dir: String::new(),
        };
        let levels =
            |status: &Status| judge("http://g", status).iter().map(|it| it.level).collect::<Vec<_>>();
        assert_eq!(levels(&status), [Level::Ok, Level::Warn, Level::Fail]);
        status.version = env!("CARGO_PKG_VERSION").to_owned();
        status.providers[0].state = "up".to_owned();
        assert_eq!(levels(&status), [Level::Ok]);
        status.configuration = Configuration {
            file: Some("/x.toml".to_owned()),
            problems: vec![ConfigProblem {
                key: Some("listen".to_owned()),
                message: "bad (line 1)".to_owned(),
            }],
            at_next_start: vec!["data_dir".to_owned()],
        };
        let findings = judge("http://g", &status);
        assert_eq!(
            findings.iter().map(|it| it.level).collect::<Vec<_>>(),
            [Level::Ok, Level::Fail, Level::Warn]
        );
        assert!(findings[1].message.contains("`listen`: bad (line 1)"), "{}", findings[1].message);
        status.configuration = Configuration::default();
        assert!(judge("http://g", &status)[0].message.contains("1h 1m 40s"));
    }
}
