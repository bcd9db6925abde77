//! The capability `models`: what is known of the models, as the contract's records.

use std::sync::Arc;

use super::bindings::{models, types};
use super::{Sandbox, check_model_name};
use crate::grant::Capability;
use crate::model::{Directory, Instance, Kind, Model};

/// Knows the models.
pub trait Models: Send + Sync {
    /// The newest snapshot.
    fn directory(&self) -> Arc<Directory>;
}

/// Models that a guest is shown at once. A cloud provider lists about 400; what is beyond can still be found by name.
const MODELS_MAX: usize = 1000;

/// Integers of the contract stay below 2^31, since one guest runtime has no larger ones.
const INTEGER_MAX: u32 = i32::MAX as u32;

impl models::Host for Sandbox {
    fn all(&mut self) -> wasmtime::Result<Vec<types::Model>> {
        self.enter()?;
        if self.check(Capability::Models).is_err() {
            return Ok(Vec::new());
        }
        let directory = self.directory();
        Ok(directory.models().iter().take(MODELS_MAX).map(record).collect())
    }

    fn find(&mut self, name: String) -> wasmtime::Result<Option<types::Model>> {
        self.enter()?;
        if self.check(Capability::Models).is_err() || check_model_name(&name).is_err() {
            return Ok(None);
        }
        Ok(self.directory().find(&name).map(record))
    }
}

impl types::Host for Sandbox {}

/// A model in the contract's words.
pub fn record(model: &Model) -> types::Model {
    let free = model.local.then_some(0.0);
    types::Model {
        id: model.id.as_str().to_owned(),
        provider: model.id.provider().to_owned(),
        key: model.id.key().to_owned(),
        display_name: model.display_name.clone(),
        kind: model.kind.as_str().to_owned(),
        inputs: inputs(model),
        capabilities: capabilities(model),
        local: model.local,
        max_context: model.max_context.unwrap_or(0).min(INTEGER_MAX),
        size_mib: model.size_bytes.map_or(0, mebibytes),
        instances: model.instances.iter().map(instance).collect(),
        load_seconds: model.load_seconds,
        input_cost: model.costs.input.or(free),
        output_cost: model.costs.output.or(free),
        extra: Vec::new(),
    }
}

fn inputs(model: &Model) -> Vec<String> {
    let mut inputs = vec!["text".to_owned()];
    if model.kind == Kind::Language && model.vision {
        inputs.push("image".to_owned());
    }
    inputs
}

fn capabilities(model: &Model) -> Vec<String> {
    let known = [(model.tool_use, "tool-use"), (model.reasoning, "reasoning")];
    known.into_iter().filter(|(has, _)| *has).map(|(_, word)| word.to_owned()).collect()
}

fn instance(instance: &Instance) -> types::Instance {
    types::Instance {
        id: instance.id.as_str().to_owned(),
        state: instance.state.as_str().to_owned(),
        context_length: instance.context_length.unwrap_or(0).min(INTEGER_MAX),
        in_flight: instance.in_flight,
        queued: instance.queued,
        extra: Vec::new(),
    }
}

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(INTEGER_MAX).min(INTEGER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{InstanceId, ModelId};
    use crate::model::{Costs, InstanceState};

    #[test]
    fn a_model_in_the_contracts_words() {
        let model = Model {
            id: ModelId::of("lmstudio", "acme/otter-8b"),
            display_name: "Otter".to_owned(),
            kind: Kind::Language,
            vision: true,
            tool_use: true,
            reasoning: false,
            local: true,
            max_context: None,
            size_bytes: Some((1 << 20) + 1),
            instances: vec![Instance {
                id: InstanceId::new("acme/otter-8b:2"),
                state: InstanceState::Loading,
                context_length: Some(u32::MAX),
                in_flight: 1,
                queued: 2,
            }],
            load_seconds: Some(3.5),
            costs: Costs { input: Some(0.5), output: None },
        };
        let record = record(&model);
        assert_eq!((record.provider.as_str(), record.key.as_str()), ("lmstudio", "acme/otter-8b"));
        assert_eq!(
            (record.inputs, record.capabilities),
            (vec!["text".to_owned(), "image".to_owned()], vec!["tool-use".to_owned()])
        );
        assert_eq!((record.max_context, record.size_mib, record.input_cost), (0, 2, Some(0.5)));
        assert_eq!(record.output_cost, Some(0.0), "what runs here costs nothing");
        assert_eq!(
            (record.instances[0].context_length, record.instances[0].state.as_str()),
            (INTEGER_MAX, "loading")
        );
    }
}
