//! Tool calls: reading what the model calls, and saying what is to become of it.
//!
//! Nothing is checked here: the host checks verdicts as untrusted input. A hook is asked when the name is known, and once
//! more with the arguments if it answers [`ToolVerdict::Wait`].

use crate::{Error, Route, ToolCall, ToolVerdict};

/// The fact of a rerouted call's route that says which of its arguments stay.
const FIXED_ARGUMENTS: &str = "fixed-arguments";

impl ToolVerdict {
    /// Another model writes the arguments; the route is for this call alone.
    ///
    /// ```
    /// # use pointsman_sdk::{Route, Swap, ToolVerdict};
    /// let verdict = ToolVerdict::reroute(Route::to("coder").swap(Swap::Never).because("edit: coder writes it"));
    /// # assert!(matches!(verdict, ToolVerdict::Reroute(_)));
    /// ```
    pub fn reroute(route: Route) -> Self {
        Self::Reroute(route)
    }

    /// The call goes out with these arguments: a JSON object.
    pub fn rewrite(json: impl Into<String>) -> Self {
        Self::Rewrite(json.into())
    }

    /// The call is withheld, and the model is told why.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny(reason.into())
    }
}

impl ToolCall {
    /// The arguments, decoded; none while the model is writing them. An error is `invalid` and names the key.
    ///
    /// ```
    /// # use pointsman_sdk::{Error, Skill, Settings, Manifest, ToolCall, ToolVerdict, Turn};
    /// # struct Careful;
    /// # impl Skill for Careful {
    /// # fn describe() -> Manifest { Manifest::new("careful", "0.1.0", "") }
    /// # fn configure(_: Settings<'_>) -> Result<Self, Error> { Ok(Self) }
    /// fn on_tool_call(&self, _turn: &Turn, call: &ToolCall) -> Result<ToolVerdict, Error> {
    ///     if call.name != "exec" {
    ///         return Ok(ToolVerdict::Pass);
    ///     }
    ///     let Some(arguments) = call.parse::<serde_json::Value>() else {
    ///         return Ok(ToolVerdict::Wait);
    ///     };
    ///     Ok(match arguments?["command"].as_str() {
    ///         Some(command) if command.contains("rm -rf") => ToolVerdict::deny("nothing is removed here"),
    ///         _ => ToolVerdict::Pass,
    ///     })
    /// }
    /// # }
    /// # let skill = pointsman_sdk::fake::configured::<Careful>("{}").unwrap();
    /// # let (turn, call) = (Turn::saying(""), ToolCall::of("exec"));
    /// # assert_eq!(skill.on_tool_call(&turn, &call), Ok(ToolVerdict::Wait));
    /// # let call = call.with_arguments(r#"{"command": "rm -rf /"}"#);
    /// # assert!(matches!(skill.on_tool_call(&turn, &call), Ok(ToolVerdict::Deny(_))));
    /// ```
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Option<Result<T, Error>> {
        self.arguments.as_deref().map(crate::skill::parse)
    }
}

impl Route {
    /// Of a rerouted tool call: the arguments keep these members (a JSON object), whoever writes them.
    pub fn with_fixed_arguments(mut self, json: impl Into<String>) -> Self {
        self.extra.push((FIXED_ARGUMENTS.to_owned(), json.into()));
        self
    }
}

impl From<Route> for ToolVerdict {
    fn from(route: Route) -> Self {
        Self::reroute(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_decoded_where_there_are_some() {
        let call = ToolCall::of("edit");
        assert_eq!(call.parse::<serde_json::Value>(), None);
        let decoded = call.clone().with_arguments(r#"{"path": "a"}"#).parse::<serde_json::Value>();
        assert_eq!(decoded.unwrap().unwrap()["path"], "a");
        let broken = call.with_arguments("{\"path\": ").parse::<serde_json::Value>();
        assert_eq!(broken.unwrap().unwrap_err().code, "invalid");
    }

    #[test]
    fn a_route_says_which_arguments_stay() {
        let verdict: ToolVerdict = Route::to("coder").with_fixed_arguments(r#"{"id":"edit"}"#).into();
        let ToolVerdict::Reroute(route) = verdict else { panic!("{verdict:?}") };
        assert_eq!(route.extra, [("fixed-arguments".to_owned(), r#"{"id":"edit"}"#.to_owned())]);
    }
}
