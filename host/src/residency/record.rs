//! What outlives the process: of each device, what is due, what is ours, and what is being done at the moment; of each
//! provider, its models as last known.
//!
//! Plain values with a stored form. Their field names are on users' disks: fields are added with a default, never
//! renamed. Where and when they are written is not decided here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, ModelId};
use crate::model::Kind;
use crate::provider::{Listed, Settings};

/// What one device's owner must know after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// What is due at rest; the one chosen last is last.
    pub baseline: Vec<DueRecord>,
    /// Instances in memory that the gateway loaded.
    pub ours: Vec<InstanceRecord>,
    /// Instances that are about to be unloaded, being unloaded, or gone so recently that a list may still show them.
    pub going: Vec<InstanceRecord>,
    /// Models that are about to be loaded, or being loaded.
    pub loading: Vec<ModelId>,
    /// Models whose load was given up without knowing what became of it.
    pub orphans: Vec<OrphanRecord>,
    /// Names of instances that were displaced and could not be given again.
    pub names: Vec<LostName>,
    /// What is due was in memory, and nothing else that the gateway loaded.
    pub is_at_rest: bool,
}

/// A model that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueRecord {
    /// The model.
    pub model: ModelId,
    /// What it is for.
    pub kind: Kind,
    /// How it is to be loaded.
    #[serde(default)]
    pub settings: Settings,
    /// It is due only until it has been idle for so long.
    #[serde(default)]
    pub ttl: Option<Duration>,
}

/// A model whose load was given up without knowing what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanRecord {
    /// The model.
    pub model: ModelId,
    /// For how long it may still turn up, in whole minutes.
    pub left: Duration,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The model, which names the provider.
    pub model: ModelId,
    /// What the provider calls it.
    pub id: InstanceId,
    /// How it was loaded.
    #[serde(default)]
    pub settings: Settings,
    /// Who loaded it.
    pub owner: Owner,
    /// Whether a list has shown it yet.
    #[serde(default)]
    pub seen: Seen,
}

/// Who loaded an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// This gateway.
    Gateway,
    /// A person, or another program.
    SomeoneElse,
}

/// Whether lists show an instance: they may lag behind a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// A list has shown that it answers.
    #[default]
    Listed,
    /// Only the load's own answer has told of it, or it was still being loaded.
    Told,
}

/// A name that somebody gave to an instance and that a load over HTTP cannot give again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostName {
    /// The name.
    pub name: InstanceId,
    /// The model it meant, and means.
    pub model: ModelId,
}

/// A model as last known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownModel {
    /// As listed, without instances.
    pub facts: Listed,
    /// How long its last load took here.
    #[serde(default)]
    pub load_time: Option<Duration>,
}

/// Everything that was kept for a device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// As written last; none at the first start.
    pub record: Option<Record>,
    /// How long ago that was.
    pub age: Duration,
    /// Models by provider, in that one's order.
    pub models: BTreeMap<String, Vec<KnownModel>>,
}
