//! A server that looks after its memory itself, by the user's wish: it is listed, and neither loaded nor unloaded.

use std::sync::Arc;

use super::{Answer, Control, Error, Listed, LoadRequest, Loaded, Provider};
use crate::id::InstanceId;

/// The server, taken as one that can only be listed.
pub struct ListOnly(pub Arc<dyn Provider>);

impl Provider for ListOnly {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn address(&self) -> &str {
        self.0.address()
    }

    fn control(&self) -> Control {
        Control::ListOnly
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        self.0.list()
    }

    fn load(&self, _: LoadRequest) -> Answer<'_, Loaded> {
        Box::pin(std::future::ready(Err(left_alone())))
    }

    fn unload(&self, _: InstanceId) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Err(left_alone())))
    }
}

fn left_alone() -> Error {
    Error::Unsupported("the server is left to itself: `residency = \"provider\"` in its section".to_owned())
}
