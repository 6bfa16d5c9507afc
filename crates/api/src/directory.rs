//! What the configuration says of ways out and numbers, for lists.

use serde::Serialize;
use utoipa::ToSchema;

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Its name: the `routeId` of an outdial.
    pub id: String,
    /// Numbers that begin so.
    pub prefixes: Vec<String>,
    /// Fewest digits.
    pub digits_min: usize,
    /// Most digits.
    pub digits_max: usize,
    /// Trunks in the order they are tried.
    pub trunks: Vec<String>,
    /// Extensions that may use it.
    pub extensions: Vec<String>,
}

/// A number that customers dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryPoint {
    /// The number: its id too.
    pub number: String,
    /// Only from this trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The extension that gets the call.
    pub extension: String,
}

/// Both.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) routes: Vec<Route>,
    pub(crate) entry_points: Vec<EntryPoint>,
}

impl Directory {
    pub(crate) fn new(routes: Vec<Route>, entry_points: Vec<EntryPoint>) -> Self {
        Self { routes, entry_points }
    }
}
