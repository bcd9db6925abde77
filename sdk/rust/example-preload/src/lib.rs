//! A skill that readies a specialist by hand: where a turn brings a picture, it wishes for the vision model, asks for
//! the coder to be put away, and routes to the vision model. It needs the grants `models` and `residency`; a route alone
//! would swap by itself.

use pointsman_sdk::{Error, Manifest, Route, Settings, Skill, Turn, Verdict, log, models, residency, skill};

struct Preload;

impl Skill for Preload {
    fn describe() -> Manifest {
        Manifest::new("preload", env!("CARGO_PKG_VERSION"), "Loads the vision model for turns with a picture")
            .reusable()
    }

    fn configure(_settings: Settings<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_request(&self, turn: &Turn) -> Result<Verdict, Error> {
        let (true, Some(owl)) = (turn.media.iter().any(|kind| kind == "image"), models::find("owl")) else {
            return Ok(Verdict::Pass);
        };
        if let Some(coder) = models::find("coder") {
            residency::unload(&coder.id)?;
        }
        let standing = residency::load(&owl.id, &residency::LoadOptions::plain())?;
        log::debug(&format!("{} is {standing:?}", owl.id));
        Ok(Route::to(owl.id).restore().because("preload: the turn has a picture").into())
    }
}

skill!(Preload: request);

#[cfg(test)]
mod tests {
    use pointsman_sdk::Model;
    use pointsman_sdk::fake::{Host, Wish, configured};

    use super::*;

    #[test]
    fn a_picture_loads_the_vision_model_and_routes_to_it() {
        let host = Host::new()
            .with_model(Model::named("lmstudio/acme/owl-9b").taking("image"))
            .with_model(Model::named("lmstudio/acme/coder-7b").resident())
            .install();
        let skill = configured::<Preload>("{}").unwrap();

        assert_eq!(skill.on_request(&Turn::saying("hello")), Ok(Verdict::Pass));
        let verdict = skill.on_request(&Turn::saying("what is this?").with_media("image")).unwrap();

        assert!(
            matches!(verdict, Verdict::Route(route) if route.candidates[0].model == "lmstudio/acme/owl-9b")
        );
        let wishes =
            [Wish::Unload("lmstudio/acme/coder-7b".into()), Wish::Load("lmstudio/acme/owl-9b".into())];
        assert_eq!(host.wishes(), wishes);
    }
}
