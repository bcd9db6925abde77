//! Files as people keep them, and what has to stay as it is in them.

use serde_json::{Value, json};

use super::*;
use crate::discovery::cards;

const BASE_URL: &str = "http://127.0.0.1:8484/v1";

fn export(format: Format) -> Export {
    Export::new(format, cards(&[]), BASE_URL)
}

fn changed(format: Format, text: &str) -> String {
    match edited(text, &export(format)) {
        Ok(Edited::Changed(new)) => new,
        other => panic!("{text}: {other:?}"),
    }
}

/// What the client reads.
fn read(text: &str, format: Format) -> Value {
    parse(text, format).unwrap().to_serde_value().unwrap()
}

fn entry(text: &str, format: Format) -> Value {
    let read = read(text, format);
    format.path().iter().fold(&read, |value, key| &value[key]).clone()
}

#[test]
fn a_new_entry_goes_where_it_belongs() {
    for (format, text) in [
        (Format::Openclaw, "{}"),
        (Format::Openclaw, "{\"models\": {}}"),
        (Format::Openclaw, "{\n  \"models\": {\n    \"mode\": \"merge\"\n  }\n}\n"),
        (Format::Openclaw, "{models: {providers: {'lmstudio': {baseUrl: \"x\",}}}}"),
        (Format::Openclaw, "{\"models\":{\"providers\":{}},\"z\":[1,2]}"),
        (Format::Opencode, "{ }\n"),
        (Format::Opencode, "{\"provider\": {\"other\": {}}, \"model\": \"other/x\"}"),
        (Format::Opencode, "{\n\t// mine\n\t\"provider\": {},\n}\n"),
    ] {
        let new = changed(format, text);
        let expected = with(read(text, format), format.path(), export(format).entry());
        assert_eq!(read(&new, format), expected, "{text}");
        // It is as it should be from then on.
        assert_eq!(edited(&new, &export(format)), Ok(Edited::Same), "{new}");
    }
}

#[test]
fn a_deep_file_is_edited_without_harm() {
    let text = format!("{{\"deep\": {}{}}}", "[".repeat(500), "]".repeat(500));
    let new = changed(Format::Openclaw, &text);
    assert!(new.contains(text.trim_matches(['{', '}'])), "{new:.80}");
}

#[test]
fn all_but_our_entry_stays_byte_for_byte() {
    let text = r#"// My OpenClaw.
{
    agents: { defaults: { model: { primary: 'gw/auto' } } }, // one line
    "models" : {
        "mode": "merge", /* keep */
        "providers": {
            "before": {"baseUrl":   "http://x", "n": 0x1F},
            "pointsman": {"baseUrl": "http://old/v1", "models": [1, 2, 3]},
            "after": { "weird" : [ .5, +1 ], },
        },
    },
    "ünïcode\u0041": "\u00e9 stays escaped",
}

"#;
    let new = changed(Format::Openclaw, text);
    let (head, tail) = text.split_once(r#"{"baseUrl": "http://old/v1", "models": [1, 2, 3]}"#).unwrap();
    assert!(new.starts_with(head) && new.ends_with(tail), "{new}");
    assert_eq!(entry(&new, Format::Openclaw), export(Format::Openclaw).entry());
    assert!(new.contains("\n                \"baseUrl\": "), "indented as the file is: {new}");
}

#[test]
fn a_new_entry_is_indented_as_the_file_is() {
    for (indent, newline) in [("\t", "\n"), ("    ", "\n"), ("  ", "\r\n")] {
        let text = "{N>\"provider\": {N>>\"other\": {}N>}N}N".replace('>', indent).replace('N', newline);
        let new = changed(Format::Opencode, &text);
        let wanted =
            format!("{newline}{indent}{indent}\"pointsman\": {{{newline}{indent}{indent}{indent}\"npm\"");
        assert!(new.contains(&wanted), "{new:?}");
        let (before, after) = text.split_at(text.find("{}").unwrap() + 2);
        assert!(new.starts_with(before) && new.ends_with(after), "{new:?}");
        if newline == "\r\n" {
            assert_eq!(new.matches('\n').count(), new.matches("\r\n").count(), "{new:?}");
        }
    }
}

#[test]
fn what_users_set_in_our_entry_is_kept() {
    let text = r#"{"models": {"providers": {"pointsman": {
        "baseUrl": "http://old/v1", "apiKey": {"source": "env", "id": "KEY"}, "headers": {"x-pointsman-agent": "a"},
        "timeoutSeconds": 1800, "api": "openai-responses", "models": []}}}}"#;
    let new = entry(&changed(Format::Openclaw, text), Format::Openclaw);
    assert_eq!(new["apiKey"], json!({"source": "env", "id": "KEY"}));
    assert_eq!(new["headers"], json!({"x-pointsman-agent": "a"}));
    assert_eq!((&new["timeoutSeconds"], &new["baseUrl"]), (&json!(1800), &json!(BASE_URL)));
    assert_eq!(new["api"], "openai-completions");

    let text = r#"{"provider": {"pointsman": {"options": {
        "apiKey": "{env:KEY}", "headers": {"a": "b"}, "timeout": false, "baseURL": "old", "mine": 1}}}}"#;
    let new = changed(Format::Opencode, text);
    let options =
        json!({"apiKey": "{env:KEY}", "headers": {"a": "b"}, "timeout": false, "baseURL": BASE_URL});
    assert_eq!(entry(&new, Format::Opencode)["options"], options);
    assert_eq!(edited(&new, &export(Format::Opencode)), Ok(Edited::Same));
}

#[test]
fn an_entry_that_says_the_same_in_another_form_is_left_alone() {
    for format in [Format::Openclaw, Format::Opencode, Format::Json] {
        let document: Value = serde_json::from_str(&export(format).text()).unwrap();
        assert_eq!(edited(&document.to_string(), &export(format)), Ok(Edited::Same));
    }
    let commented = export(Format::Openclaw).text().replacen("\"baseUrl\"", "// mine\n baseUrl", 1);
    assert_eq!(edited(&commented, &export(Format::Openclaw)), Ok(Edited::Same));
}

#[test]
fn a_mark_at_the_start_stays() {
    let new = changed(Format::Opencode, "\u{feff}{\"model\": \"x\"}");
    assert!(new.starts_with("\u{feff}{") && !new[3..].contains('\u{feff}'), "{new:?}");
}

#[test]
fn an_empty_file_is_filled() {
    for format in [Format::Openclaw, Format::Opencode, Format::Json] {
        for text in ["", " \r\n", "\u{feff}"] {
            assert_eq!(changed(format, text), export(format).text());
        }
    }
}

#[test]
fn what_cannot_be_edited_well_is_refused() {
    let deep = "[".repeat(100_000);
    let both = [Format::Openclaw, Format::Opencode];
    for (formats, text, part) in [
        (&both[..], "not json at all", "cannot be read as JSON"),
        (&both, "{\"a\": 1", "line 1"),
        (&both, "{\"a\": 1} trailing", "cannot be read as JSON"),
        (&both, "{\"a\": 1 \"b\": 2}", "cannot be read as JSON"),
        (&both, &deep, "cannot be read as JSON"),
        (&both, "[]", "no JSON object"),
        (&both, "null", "no JSON object"),
        (&both, "// nothing but this", "no JSON object"),
        (&[Format::Openclaw], "{\"models\": []}", "`models` is no object"),
        (&[Format::Openclaw], "{\"models\": {\"providers\": null}}", "`models.providers` is no object"),
        (&[Format::Openclaw], "{\"models\": {}, \"mod\\u0065ls\": {}}", "`models` is written twice"),
        (&[Format::Opencode], "{\"provider\": {\"pointsman\": 1, 'pointsman': 2}}", "cannot be read"),
        (&[Format::Opencode], "{provider: {}}", "cannot be read as JSON"),
        (
            &[Format::Opencode],
            "{\"provider\": {\"pointsman\": {}, \"pointsman\": {}}}",
            "`provider.pointsman` is written twice",
        ),
        (
            &[Format::Opencode],
            "{\"provider\": {\"pointsman\": {\n// my note\n\"npm\": 1}}}",
            "comments within `provider.pointsman` would be lost, such as \"// my note\"",
        ),
        (&[Format::Json], "{", "cannot be read as JSON"),
        (&[Format::Json], "{\"models\": {}} // x", "cannot be read as JSON"),
        (&[Format::Json], "{\"models\": {\"providers\": {}}}", "no export of this command"),
        (&[Format::Json], "[1]", "no export of this command"),
    ] {
        for &format in formats {
            let error = edited(text, &export(format)).unwrap_err().to_string();
            assert!(error.contains(part), "{format:?} {:.40}: {error}", text);
        }
    }
}

#[test]
fn comments_beside_our_entry_are_no_reason_to_refuse() {
    let text = "{\n  // above\n  \"provider\": {\n    /* before */ \"pointsman\": /* of it */ {} // behind\n  }\n}\n";
    let new = changed(Format::Opencode, text);
    for comment in ["// above", "/* before */", "/* of it */", "// behind"] {
        assert!(new.contains(comment), "{new}");
    }
}
