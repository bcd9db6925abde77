//! Guards as the turn's text says: `only X` lets those models through whose id holds X; `none`, `lie`, `fail`, `trap`,
//! `spin`, `sleep`, `hog`, `recurse`, `answer hugely`;
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

#[inline(never)]
fn dig(depth: u64) -> u64 {
    if std::hint::black_box(depth) == u64::MAX { 0 } else { dig(depth + 1) + std::hint::black_box(1) }
}

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
            "spin" => loop {
                std::hint::black_box(0);
            },
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                Ok(Vec::new())
            }
            "hog" => {
                Ok(vec![String::from_utf8(std::hint::black_box(vec![b'x'; 1 << 30])).unwrap_or_default()])
            }
            "recurse" => Ok(vec![dig(0).to_string()]),
            "answer hugely" => Ok(vec!["x".repeat(16 << 20)]),
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
