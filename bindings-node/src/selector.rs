//! A function of the user's that chooses objects.

use std::sync::{Arc, Mutex, PoisonError};

use dbgraft::{Error, ObjectRef, ObjectSelector, Result};

use crate::call_queue::CallQueue;

pub(crate) struct JsSelector {
    calls: Arc<CallQueue>,
    failed: Mutex<Option<Error>>,
}

impl JsSelector {
    pub(crate) fn new(calls: Arc<CallQueue>) -> Self {
        Self { calls, failed: Mutex::default() }
    }
}

impl ObjectSelector for JsSelector {
    fn select(&self, object: &ObjectRef) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return false;
        }
        self.calls.call_blocking("selector", object).unwrap_or_else(|error| {
            *failed = Some(error);
            false
        })
    }

    fn finish(&self) -> Result<()> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
