//! The interfaces of the contract that this gateway does not serve yet. They are linked, so that a component which
//! imports them loads; without a grant they answer `denied` like any other, with one `unavailable`, and where a function
//! has no error, nothing.

use super::bindings::{activity, conversation, http, inference, kv, sessions, types};
use super::{Code, Error, Sandbox};
use crate::grant::Capability;

impl Sandbox {
    fn refuse<T>(&mut self, capability: Capability) -> wasmtime::Result<Result<T, types::Error>> {
        self.enter()?;
        let error = match self.check(capability) {
            Err(denied) => denied,
            Ok(()) => Error::new(Code::Unavailable, format!("this gateway does not serve `{capability}`")),
        };
        Ok(Err(error.into_record()))
    }
}

impl sessions::Host for Sandbox {
    fn model(&mut self, _session: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        Ok(None)
    }

    fn set_model(
        &mut self,
        _session: String,
        _model: Option<String>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.refuse(Capability::Sessions)
    }
}

impl conversation::Host for Sandbox {
    fn messages(
        &mut self,
        _request_id: String,
        _offset: u32,
        _limit: u32,
    ) -> wasmtime::Result<Result<Vec<conversation::Message>, types::Error>> {
        self.refuse(Capability::Conversation)
    }

    fn body(&mut self, _request_id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.refuse(Capability::Conversation)
    }
}

impl inference::Host for Sandbox {
    fn embed(
        &mut self,
        _model: String,
        _inputs: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Vec<f32>>, types::Error>> {
        self.refuse(Capability::Inference)
    }

    fn complete(
        &mut self,
        _model: String,
        _system: String,
        _user: String,
        _max_tokens: u32,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        self.refuse(Capability::Inference)
    }
}

impl kv::Host for Sandbox {
    fn get(&mut self, _key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Error>> {
        self.refuse(Capability::Kv)
    }

    fn set(&mut self, _key: String, _value: Vec<u8>) -> wasmtime::Result<Result<(), types::Error>> {
        self.refuse(Capability::Kv)
    }

    fn delete(&mut self, _key: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.refuse(Capability::Kv)
    }

    fn keys(&mut self, _prefix: String) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        self.refuse(Capability::Kv)
    }

    fn increment(&mut self, _key: String, _by: f64) -> wasmtime::Result<Result<f64, types::Error>> {
        self.refuse(Capability::Kv)
    }
}

impl http::Host for Sandbox {
    fn send(&mut self, _request: http::Request) -> wasmtime::Result<Result<http::Response, types::Error>> {
        self.refuse(Capability::Http)
    }
}

impl activity::Host for Sandbox {
    fn skills(&mut self) -> wasmtime::Result<Vec<activity::SkillInfo>> {
        self.enter()?;
        Ok(Vec::new())
    }

    fn explain(&mut self, _session: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.refuse(Capability::Activity)
    }
}
