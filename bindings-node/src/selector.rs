//! A function of the user's that chooses objects.

use std::sync::{Arc, Mutex, PoisonError};

use dbgraft::{Error, ObjectRef, ObjectSelector, Result};

use crate::calls::Calls;

pub(crate) struct JsSelector {
    calls: Arc<Calls>,
    failed: Mutex<Option<Error>>,
}

impl JsSelector {
    pub(crate) fn new(calls: Arc<Calls>) -> Self {
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

    fn verdict(&self) -> Result<()> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
