//! InitProducerId: gives a producer id for idempotence (KIP-98). Transactions are refused, because they are not
//! served yet.

use super::call::{Call, NO_TRANSACTIONS, Outcome};
use crate::kafka::wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::Refusal;

pub(super) async fn handle(call: Call, request: InitProducerIdRequest) -> Outcome {
    let given = if request.transactional_id.as_deref() == Some("") {
        let message = "an empty transactional id: leave transactional.id out".to_owned();
        Err(Refusal { code: ErrorCode::InvalidRequest, message })
    } else if request.transactional_id.is_some() {
        let (code, why) = NO_TRANSACTIONS;
        Err(Refusal { code, message: why.to_owned() })
    } else if (request.producer_id == -1) != (request.producer_epoch == -1) {
        let message = "a producer id and its epoch come together: send both, or -1 for both".to_owned();
        Err(Refusal { code: ErrorCode::InvalidRequest, message })
    } else {
        // An idempotent producer whose epoch is used up names its old id (KIP-360) and gets a new one.
        call.context.producer_ids.next(&call.context.controller).await
    };
    let body = match given {
        Ok(producer_id) => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
        Err(refusal) => {
            call.refused(refusal.code, request.transactional_id.as_deref().unwrap_or("-"), &refusal.message);
            InitProducerIdResponse {
                error_code: refusal.code.code(),
                producer_epoch: -1,
                ..Default::default()
            }
        }
    };
    call.reply(&body, Permit::free())
}
