//! From the rooms' own values to what the admin API says of them. Nothing is left out that a person could want to know,
//! and nothing is said that is a secret: providers come here without their keys.

use super::{
    Due, Held, Instance, Model, Provider, ProviderHeard, Residency, Settings, Skill, UnderWay, Waiter,
};
use crate::admin::ModelServer;
use crate::residency::{self, LoadedBy, Phase, ProviderState, Report};
use crate::shelf::lock::Entry;
use crate::telemetry::millis;
use crate::{model, provider, skill};

// === impl Provider ===

impl Provider {
    /// A configured server and what is heard of it.
    pub(in crate::admin) fn of(server: &ModelServer, state: Option<&ProviderState>) -> Self {
        let (state, error) = provider_state(state);
        Self { name: server.name.clone(), kind: server.kind.clone(), url: server.url.clone(), state, error }
    }
}

fn provider_state(state: Option<&ProviderState>) -> (String, Option<String>) {
    let (word, error) = match state {
        Some(ProviderState::Up) => ("up", None),
        Some(ProviderState::Down(error)) => ("down", Some(error.clone())),
        Some(ProviderState::Unknown) | None => ("unknown", None),
    };
    (word.to_owned(), error)
}

// === impl Skill ===

impl Skill {
    /// One skill as it stands, with what is written down of it.
    pub fn of(status: &skill::Status, entry: Option<&Entry>) -> Self {
        // One that rests does not say its version itself.
        let written = entry.and_then(Entry::active_version).filter(|_| status.version.is_empty());
        let problem = match &status.state {
            skill::State::Failed(reason) | skill::State::Quarantined(reason) => Some(reason.clone()),
            _ => None,
        };
        Self {
            name: status.name.to_string(),
            version: written.map_or_else(|| status.version.clone(), |it| it.version.clone()),
            description: status.description.clone(),
            state: status.state.as_str().to_owned(),
            problem,
            priority: status.priority,
            grants: status.grants.iter().map(ToString::to_string).collect(),
            denied: status.denied.iter().map(ToString::to_string).collect(),
            last_error: status.last_error.clone(),
            source: status.source.to_string(),
            waits: entry.and_then(|it| it.pending.as_ref()).map(|it| it.version.clone()),
        }
    }
}

// === impl Model ===

impl Model {
    /// One model as it stands.
    pub(in crate::admin) fn of(model: &model::Model) -> Self {
        Self {
            id: model.id.to_string(),
            display_name: model.display_name.clone(),
            kind: model.kind.as_str().to_owned(),
            vision: model.vision,
            tool_use: model.tool_use,
            reasoning: model.reasoning,
            local: model.local,
            max_context: model.max_context,
            size_bytes: model.size_bytes,
            load_seconds: model.load_seconds,
            input_cost: model.costs.input,
            output_cost: model.costs.output,
            instances: model.instances.iter().map(Instance::of).collect(),
        }
    }

    /// Its key's last segment, which is what people call it.
    pub fn short_name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }
}

// === impl Instance ===

impl Instance {
    fn of(instance: &model::Instance) -> Self {
        Self {
            id: instance.id.to_string(),
            state: instance.state.as_str().to_owned(),
            context_length: instance.context_length,
            in_flight: instance.in_flight,
            queued: instance.queued,
        }
    }
}

// === impl Residency ===

impl Residency {
    /// The report as it stands.
    pub(in crate::admin) fn of(report: &Report) -> Self {
        let provider = |it: &residency::ProviderEntry| {
            let (state, error) = provider_state(Some(&it.state));
            ProviderHeard { name: it.name.clone(), device: it.device.clone(), state, error }
        };
        let worst = report.providers.iter().find(|it| it.state != ProviderState::Up);
        let first = worst.or(report.providers.first()).map(|it| &it.state);
        let (summary, provider_error) = provider_state(first);
        let due =
            |it: &residency::BaselineEntry| Due { model: it.model.to_string(), settings: it.settings.into() };
        Self {
            provider: summary,
            provider_error,
            providers: report.providers.iter().map(provider).collect(),
            baseline: report.baseline.iter().map(due).collect(),
            instances: report.instances.iter().map(Held::of).collect(),
            waiters: report.waiters.iter().map(Waiter::of).collect(),
            under_way: report.under_way.iter().map(UnderWay::of).collect(),
            unfinished_turns: report.unfinished_turns,
        }
    }
}

impl Held {
    fn of(it: &residency::HeldInstance) -> Self {
        let loaded_by = match it.loaded_by {
            LoadedBy::Gateway => "gateway",
            LoadedBy::SomeoneElse => "someone-else",
        };
        Self {
            id: it.id.to_string(),
            model: it.model.to_string(),
            state: it.state.as_str().to_owned(),
            settings: it.settings.into(),
            leases: it.leases,
            loaded_by: loaded_by.to_owned(),
            wanted: it.is_wanted,
            held: it.is_held,
            pinned: it.is_pinned,
        }
    }
}

impl Waiter {
    fn of(it: &residency::WaiterEntry) -> Self {
        let phase = match it.phase {
            Phase::Queued => "queued",
            Phase::Draining => "draining",
            Phase::Unloading => "unloading",
            Phase::Loading => "loading",
        };
        Self {
            model: it.model.to_string(),
            session: it.session.as_ref().map(ToString::to_string),
            request: it.request.as_ref().map(ToString::to_string),
            waits_ms: millis(it.age),
            phase: phase.to_owned(),
        }
    }
}

impl UnderWay {
    fn of(it: &residency::UnderWay) -> Self {
        Self {
            summary: it.summary.clone(),
            model: it.model.as_ref().map(ToString::to_string),
            victims: it.victims.iter().map(ToString::to_string).collect(),
            lasts_ms: millis(it.lasts),
        }
    }
}

impl From<provider::Settings> for Settings {
    fn from(it: provider::Settings) -> Self {
        Self {
            context_length: it.context_length,
            eval_batch_size: it.eval_batch_size,
            flash_attention: it.flash_attention,
            num_experts: it.num_experts,
            offload_kv_cache_to_gpu: it.offload_kv_cache_to_gpu,
        }
    }
}

/// The word for how a wish stands.
pub(in crate::admin) fn standing(standing: residency::Standing) -> &'static str {
    match standing {
        residency::Standing::Done => "done",
        residency::Standing::Started => "started",
        residency::Standing::Queued => "queued",
    }
}
