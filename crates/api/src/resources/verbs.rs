//! `POST /v1/interactions/{id}/…`: everything that can be done in an interaction. What is allowed
//! now says `controls` of its participants; the core decides.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use b2bua::api::{Act, Command, DestinationType, OnFailure};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::interactions::target;
use super::{ChangeProblems, Problems, answer, id};
use crate::access::Principal;
use crate::guard::Json;
use crate::problem::Problem;
use crate::shapes::{DestinationTypeShape, InteractionShape, OnFailureShape};
use crate::shared::{Inner, Shared};

/// In whose name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct InName {
    /// Participant in whose name it is done: by default the agent's own, else the primary agent.
    participant_id: Option<String>,
}

/// A verb without parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Hold {
    /// Hang the own phone up meanwhile; `resume` calls it again.
    #[serde(default)]
    release_line: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dtmf {
    /// Keys `0`–`9`, `*`, `#`, `A`–`D`.
    keys: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Consult {
    /// Name or number, as typed.
    to: String,
    /// What it means; a dial number unless said otherwise.
    #[schema(value_type = Option<DestinationTypeShape>)]
    destination_type: Option<DestinationType>,
    /// Whether the others of a conference are held meanwhile; they are unless said otherwise.
    hold_participants: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Transfer {
    /// Name or number, as typed.
    to: String,
    /// What it means; a dial number unless said otherwise.
    #[schema(value_type = Option<DestinationTypeShape>)]
    destination_type: Option<DestinationType>,
    /// What happens when they do not take it; by default as the organisation decided.
    #[schema(value_type = Option<OnFailureShape>)]
    on_failure: Option<OnFailure>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConferenceAdd {
    /// The agent's other interactions, which are joined to this one.
    interaction_ids: Vec<String>,
}

/// Asks the core to do it.
pub(super) async fn act(
    shared: &Inner,
    principal: &Principal,
    interaction: &str,
    participant: Option<String>,
    act: Act,
) -> Result<Response, Problem> {
    let interaction = id(interaction)?.to_owned();
    let participant = participant.as_deref().map(id).transpose()?.map(str::to_owned);
    let command = Command::Act { interaction, participant, act };
    Ok(answer(&shared.ask(principal, command).await?))
}

macro_rules! verbs {
    ($($name:ident $path:literal $body:ty, $asked:pat => $act:expr, $summary:literal;)*) => {
        $(
            #[utoipa::path(
                post, path = $path, tag = "interactions", summary = $summary,
                params(("id" = String, Path), InName),
                request_body = $body,
                responses(
                    (status = 200, description = "Done.", body = InteractionShape),
                    (status = 202, description = "Begun: the result comes as an event.", body = InteractionShape),
                    Problems, ChangeProblems,
                ),
                security(("bearer" = []))
            )]
            async fn $name(
                State(shared): State<Shared>,
                principal: Principal,
                Path(interaction): Path<String>,
                Query(name): Query<InName>,
                Json($asked): Json<$body>,
            ) -> Result<Response, Problem> {
                act(&shared, &principal, &interaction, name.participant_id, $act).await
            }
        )*

        /// All of them.
        pub(crate) fn router() -> OpenApiRouter<Shared> {
            OpenApiRouter::new()$(.routes(routes!($name)))*
        }
    };
}

verbs! {
    accept "/v1/interactions/{id}/accept" Nothing, Nothing {} => Act::Accept, "Answer the call that rings here";
    decline "/v1/interactions/{id}/decline" Nothing, Nothing {} => Act::Decline, "Refuse the call that rings here";
    hold "/v1/interactions/{id}/hold" Hold, Hold { release_line } => Act::Hold { release_line }, "Put the others on hold";
    resume "/v1/interactions/{id}/resume" Nothing, Nothing {} => Act::Resume, "Talk to them again";
    mute "/v1/interactions/{id}/mute" Nothing, Nothing {} => Act::Mute, "Not be heard";
    unmute "/v1/interactions/{id}/unmute" Nothing, Nothing {} => Act::Unmute, "Be heard again";
    dtmf "/v1/interactions/{id}/dtmf" Dtmf, Dtmf { keys } => Act::Dtmf { keys }, "Press keys towards the others";
    end "/v1/interactions/{id}/end" Nothing, Nothing {} => Act::End, "End the call";
    consult "/v1/interactions/{id}/consult" Consult, Consult { to, destination_type, hold_participants } => Act::Consult {
        to: target(to, destination_type)?,
        hold_participants: hold_participants.unwrap_or(true),
    }, "Call somebody to speak to in private";
    consult_end "/v1/interactions/{id}/consult/end" Nothing, Nothing {} => Act::ConsultEnd, "End the consult";
    consult_exit "/v1/interactions/{id}/consult/exit" Nothing, Nothing {} => Act::ConsultExit, "The consulted agent leaves";
    consult_hold "/v1/interactions/{id}/consult/hold" Nothing, Nothing {} => Act::ConsultHold, "Hold the consulted party";
    consult_resume "/v1/interactions/{id}/consult/resume" Nothing, Nothing {} => Act::ConsultResume, "Talk to the consulted party again";
    consult_transfer "/v1/interactions/{id}/consult/transfer" Nothing, Nothing {} => Act::ConsultTransfer, "Leave the customer to the consulted party";
    consult_conference "/v1/interactions/{id}/consult/conference" Nothing, Nothing {} => Act::ConsultConference, "Everybody into one conference";
    toggle "/v1/interactions/{id}/toggle" Nothing, Nothing {} => Act::Toggle, "From the customer to the consulted party, or back";
    transfer "/v1/interactions/{id}/transfer" Transfer, Transfer { to, destination_type, on_failure } => Act::Transfer {
        to: target(to, destination_type)?,
        on_failure,
    }, "Leave the customer to somebody else without talking first";
    conference_add "/v1/interactions/{id}/conference/add" ConferenceAdd, ConferenceAdd { interaction_ids } => Act::ConferenceAdd {
        interactions: interaction_ids,
    }, "Join other interactions of the agent to this one";
    conference_exit "/v1/interactions/{id}/conference/exit" Nothing, Nothing {} => Act::ConferenceExit, "Leave a conference that goes on";
    conference_end "/v1/interactions/{id}/conference/end" Nothing, Nothing {} => Act::ConferenceEnd, "End a conference for all";
    record_start "/v1/interactions/{id}/record/start" Nothing, Nothing {} => Act::RecordStart, "Begin to record";
    record_stop "/v1/interactions/{id}/record/stop" Nothing, Nothing {} => Act::RecordStop, "End the recording";
    record_pause "/v1/interactions/{id}/record/pause" Nothing, Nothing {} => Act::RecordPause, "Pause the recording while something must not be kept";
    record_resume "/v1/interactions/{id}/record/resume" Nothing, Nothing {} => Act::RecordResume, "Go on recording";
}
