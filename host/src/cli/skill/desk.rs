//! Where skills are kept: by the gateway that runs, or, where none does, here, on the data folder itself. Either answers
//! the same.
//!
//! Whoever keeps them has the data folder: a gateway for as long as it runs, this process for the length of a command. So
//! two never write at once, and a gateway that listens elsewhere is found out rather than passed by. A command that only
//! looks takes nothing and changes nothing.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::admin::keeper::{Change, Keeper};
use crate::admin::{SIGNATURE_HEADER, view};
use crate::app;
use crate::cli::args::Global;
use crate::cli::client::{self, Client, Patience, Presence, escaped, presence};
use crate::cli::{configuration, located};
use crate::config::Config;
use crate::id::SkillName;
use crate::shelf::sign::PublicKey;
use crate::skill::{Housekeeping, Offer, Skills, Tried};
use crate::store::{OpenError, Store};

/// Who keeps the skills.
pub(super) enum Desk {
    /// The gateway that runs.
    Gateway(Client),
    /// This process.
    Here(Box<Here>),
}

/// The skills of a data folder that no gateway uses.
pub(super) struct Here {
    keeper: Keeper,
    /// None where they are only looked at.
    _claim: Option<Claim>,
}

/// The data folder is ours.
struct Claim {
    /// Not run: nobody asks these skills anything.
    _housekeeping: Housekeeping,
    /// Last, so that the folder is ours until everything else is gone.
    _store: Store,
}

// === impl Desk ===

impl Desk {
    /// Finds out who keeps them, to change something.
    pub(super) async fn open(global: &Global) -> anyhow::Result<Self> {
        match gateway(global).await? {
            Some(client) => Ok(Self::Gateway(client)),
            None => Ok(Self::Here(Box::new(Here::open(configuration(global, None, None)?).await?))),
        }
    }

    /// Finds out who keeps them, to look.
    pub(super) async fn look_in(global: &Global) -> anyhow::Result<Self> {
        match gateway(global).await? {
            Some(client) => Ok(Self::Gateway(client)),
            None => Ok(Self::Here(Box::new(Here::look_in(configuration(global, None, None)?).await?))),
        }
    }

    /// No gateway runs.
    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Every skill.
    pub(super) async fn list(&self) -> anyhow::Result<view::Skills> {
        match self {
            Self::Gateway(client) => client.get("skills").await,
            Self::Here(here) => Ok(view::Skills { skills: here.keeper.list().await }),
        }
    }

    /// One skill, with all that is written down of it.
    pub(super) async fn show(&self, name: &SkillName) -> anyhow::Result<view::SkillInFull> {
        match self {
            Self::Gateway(client) => client.get(&of(name)).await,
            Self::Here(here) => Ok(here.keeper.show(name).await?),
        }
    }

    /// What a component would be, installed.
    pub(super) async fn look(&self, offer: &Offer) -> anyhow::Result<view::Looked> {
        match self {
            Self::Gateway(client) => {
                let path = format!("skills/look?name={}&{}", escaped(offer.name.as_str()), query(offer));
                client.post_component(&path, offer.wasm.clone(), header(offer)).await
            }
            Self::Here(here) => Ok(here.keeper.look(offer.clone()).await?),
        }
    }

    /// Installs it.
    pub(super) async fn install(&self, offer: Offer) -> anyhow::Result<view::Installed> {
        match self {
            Self::Gateway(client) => {
                let (path, header) = (format!("{}?{}", of(&offer.name), query(&offer)), header(&offer));
                client.put_component(&path, offer.wasm, header).await
            }
            Self::Here(here) => Ok(here.keeper.install(offer).await?),
        }
    }

    /// Changes a skill that is there; what it is then.
    pub(super) async fn change(
        &self,
        name: &SkillName,
        change: &Change,
    ) -> anyhow::Result<view::SkillInFull> {
        match self {
            Self::Gateway(client) => {
                let grants = change.grants().unwrap_or_default().iter().map(ToString::to_string).collect();
                let body = body(&view::GrantOrder { grants })?;
                client.post(&format!("{}/{}", of(name), change.as_str()), body, Patience::Long).await
            }
            Self::Here(here) => Ok(here.keeper.change(name, change).await?),
        }
    }

    /// Removes what was installed under the name.
    pub(super) async fn remove(&self, name: &SkillName) -> anyhow::Result<view::Removed> {
        match self {
            Self::Gateway(client) => client.delete(&of(name)).await,
            Self::Here(here) => Ok(here.keeper.remove(name).await?),
        }
    }

    /// Has a component look on beside the skill that serves under its name.
    pub(super) async fn shadow(&self, offer: Offer) -> anyhow::Result<Tried> {
        let client = self.running()?;
        let path = format!("{}/shadow?{}", of(&offer.name), query(&offer));
        client.put_component(&path, offer.wasm.clone(), header(&offer)).await
    }

    /// How those do that look on.
    pub(super) async fn shadows(&self) -> anyhow::Result<view::Shadows> {
        self.running()?.get("skills/shadow").await
    }

    /// It looks on no more; how it did.
    pub(super) async fn end_shadow(&self, name: &SkillName) -> anyhow::Result<Tried> {
        self.running()?.delete(&format!("{}/shadow", of(name))).await
    }

    /// What a component says to the turns that were recorded since then.
    pub(super) async fn replay(&self, offer: Offer, since_ms: u64) -> anyhow::Result<Tried> {
        match self {
            Self::Gateway(client) => {
                let path = format!("{}/replay?since_ms={since_ms}&{}", of(&offer.name), query(&offer));
                client.post_component(&path, offer.wasm.clone(), header(&offer)).await
            }
            Self::Here(here) => Ok(here.keeper.replay(offer, since_ms).await?),
        }
    }

    /// The gateway: only where requests come can a component look on.
    fn running(&self) -> anyhow::Result<&Client> {
        match self {
            Self::Gateway(client) => Ok(client),
            Self::Here(_) => anyhow::bail!(
                "no gateway is running, so there are no requests to look at; `pointsman skill replay` asks a \
                 component about those that were recorded"
            ),
        }
    }

    /// Whose signatures count.
    pub(super) async fn trusted(&self) -> anyhow::Result<view::Trusted> {
        match self {
            Self::Gateway(client) => client.get("skills/trust").await,
            Self::Here(here) => Ok(here.keeper.trusted().await?),
        }
    }

    /// This signer's signatures count from now on.
    pub(super) async fn trust(&self, signer: &str, key: PublicKey) -> anyhow::Result<view::Trusted> {
        match self {
            Self::Gateway(client) => {
                let order = view::TrustOrder { signer: signer.to_owned(), key: key.to_string() };
                client.post("skills/trust", body(&order)?, Patience::Short).await
            }
            Self::Here(here) => Ok(here.keeper.trust(signer, key).await?),
        }
    }

    /// This signer's signatures do not count any more.
    pub(super) async fn untrust(&self, signer: &str) -> anyhow::Result<view::Trusted> {
        match self {
            Self::Gateway(client) => client.delete(&format!("skills/trust/{}", escaped(signer))).await,
            Self::Here(here) => Ok(here.keeper.untrust(signer).await?),
        }
    }
}

// === impl Here ===

impl Here {
    async fn open(config: Config) -> anyhow::Result<Self> {
        let store = Store::open(&config.data_dir).map_err(taken)?;
        let (skills, housekeeping) = app::skills_at_rest(config, &store).await.context("skills")?;
        let claim = Claim { _housekeeping: housekeeping, _store: store };
        Ok(Self { keeper: Keeper::new(skills), _claim: Some(claim) })
    }

    async fn look_in(config: Config) -> anyhow::Result<Self> {
        Store::check_free(&config.data_dir).map_err(taken)?;
        let skills = Skills::start_to_look(config.skills, &app::bundled()).await.context("skills")?;
        let keeper = Keeper::new(skills);
        // Without it they would be listed as if nothing were installed.
        keeper.check().await?;
        Ok(Self { keeper, _claim: None })
    }
}

/// The gateway that runs; none where that is as well.
async fn gateway(global: &Global) -> anyhow::Result<Option<Client>> {
    let place = located(global)?;
    match presence(&place.url).await? {
        Presence::Gateway => Ok(Some(Client::new(place).await?)),
        // Whoever names a gateway means that one.
        absent if global.url.is_some() => Err(client::absent(&place, absent)),
        Presence::Nothing | Presence::Stranger => Ok(None),
    }
}

/// The data folder cannot be had.
fn taken(error: OpenError) -> anyhow::Error {
    match error {
        in_use @ OpenError::InUse { .. } => anyhow::Error::new(in_use)
            .context("no gateway answers where one is expected; if one runs elsewhere, name it with --url"),
        other => other.into(),
    }
}

fn of(name: &SkillName) -> String {
    format!("skills/{}", escaped(name.as_str()))
}

fn query(offer: &Offer) -> String {
    let mut query =
        format!("source={}&force={}&approve={}", escaped(&offer.source), offer.force, offer.approve);
    for grant in &offer.grants {
        query.push_str(&format!("&grant={}", escaped(&grant.to_string())));
    }
    query
}

fn header(offer: &Offer) -> Option<(&'static str, String)> {
    offer.signature.as_ref().map(|it| (SIGNATURE_HEADER, STANDARD.encode(it.to_text())))
}

fn body(order: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    serde_json::to_vec(order).context("the request's body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_one_query() {
        let offer = Offer {
            name: SkillName::new("x"),
            wasm: bytes::Bytes::new(),
            source: "/a b&c.wasm".to_owned(),
            signature: None,
            grants: ["residency=acme/*", "http=a:1"].iter().map(|it| it.parse().unwrap()).collect(),
            force: true,
            approve: false,
        };
        let expected = "source=%2Fa%20b%26c.wasm&force=true&approve=false&grant=residency%3Dacme%2F%2A&grant=http%3Da%3A1";
        assert_eq!(query(&offer), expected);
        assert!(header(&offer).is_none());
    }
}
