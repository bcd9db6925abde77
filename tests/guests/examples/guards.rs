//! Guards as the turn's text says: `only X` lets those models through whose id holds X; `none`, `lie`, `fail`, `trap`;
//! `infer` asks a model, which guards may not, and lets everything through where that was denied.

wit_bindgen::generate!({
    inline: r#"
        package guests:guarding;
        world guest {
            import pointsman:skill/inference@0.1.0;
            export pointsman:skill/lifecycle@0.1.0;
            export pointsman:skill/guard-hook@0.1.0;
        }
    "#,
    path: "../../wit",
    world: "guests:guarding/guest",
    generate_all,
});

use exports::pointsman::skill::guard_hook::Guest as GuardHook;
use exports::pointsman::skill::lifecycle::{Guest as Lifecycle, Manifest};
use pointsman::skill::inference;
use pointsman::skill::types::{Error, Model, Turn};

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        Manifest {
            name: "guards".to_owned(),
            version: "1.0.0".to_owned(),
            description: "The test guest `guards`.".to_owned(),
            priority: 100,
            settings_schema: None,
            reusable: true,
            extra: Vec::new(),
        }
    }

    fn configure(_settings: String) -> Result<(), Error> {
        Ok(())
    }
}

impl GuardHook for Component {
    fn narrow(turn: Turn, candidates: Vec<Model>) -> Result<Vec<String>, Error> {
        let ids = || candidates.iter().map(|model| model.id.clone());
        match turn.user_text.as_str() {
            "none" => Ok(Vec::new()),
            "lie" => Ok(vec!["elsewhere/model".to_owned()]),
            "fail" => Err(Error { code: "invalid".to_owned(), message: "no".to_owned(), retryable: false }),
            "trap" => panic!("the guard trapped"),
            "infer" => match inference::complete("otter", "", "Hello", 1) {
                Err(error) if error.code == "denied" => Ok(ids().collect()),
                other => panic!("{other:?}"),
            },
            text => {
                let part = text.strip_prefix("only ").unwrap_or_default();
                Ok(ids().filter(|id| id.contains(part)).collect())
            }
        }
    }
}

export!(Component);
