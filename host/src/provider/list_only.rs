//! A server that looks after its memory itself, by the user's wish: it is listed, and neither loaded nor unloaded.

use std::sync::Arc;

use super::{Answer, Control, Listed, LoadRequest, Loaded, Provider};
use crate::id::InstanceId;

/// The server, taken as one that can only be listed.
pub struct ListOnly(pub Arc<dyn Provider>);

impl Provider for ListOnly {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn control(&self) -> Control {
        Control::ListOnly
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        self.0.list()
    }

    fn load(&self, request: LoadRequest) -> Answer<'_, Loaded> {
        self.0.load(request)
    }

    fn unload(&self, instance: InstanceId) -> Answer<'_, ()> {
        self.0.unload(instance)
    }
}
