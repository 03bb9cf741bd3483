//! Encodes rows of Python values.

use dbgraft::codec::RowEncoder;
use dbgraft::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error::callback_error;

/// Adds a row: a sequence in the order of the columns, or a dict by column name.
pub(crate) fn add_row(rows: &mut RowEncoder, row: &Bound<'_, PyAny>, convert: &Bound<'_, PyAny>) -> Result<()> {
    if let Ok(row) = row.cast::<PyTuple>() {
        row.iter().try_for_each(|value| add(rows, &value, convert))?;
    } else if let Ok(row) = row.cast::<PyList>() {
        row.iter().try_for_each(|value| add(rows, &value, convert))?;
    } else if let Ok(row) = row.cast::<PyDict>() {
        add_dict(rows, row, convert)?;
    } else if row.is_instance_of::<PyString>() || row.is_instance_of::<PyBytes>() {
        return Err(data("a row is a tuple, a list or a dict, and not a text"));
    } else {
        let py = row.py();
        let bad = |error| callback_error(py, "reading a row", error);
        for value in row.try_iter().map_err(bad)? {
            add(rows, &value.map_err(bad)?, convert)?;
        }
    }
    rows.end_row()
}

fn add_dict(rows: &mut RowEncoder, row: &Bound<'_, PyDict>, convert: &Bound<'_, PyAny>) -> Result<()> {
    let names: Vec<String> = rows.columns().map(str::to_owned).collect();
    for name in &names {
        let value = row.get_item(name).map_err(|error| callback_error(row.py(), "reading a row", error))?;
        let value = value.ok_or_else(|| data(format!("a row has no value for column {name}")))?;
        add(rows, &value, convert)?;
    }
    if row.len() > names.len() {
        let keys: Vec<String> = row.keys().iter().map(|key| key.to_string()).collect();
        let strange: Vec<&str> = keys.iter().filter(|key| !names.contains(key)).map(String::as_str).collect();
        return Err(data(format!("a row has values for columns that its table does not have: {}", strange.join(", "))));
    }
    Ok(())
}

fn add(rows: &mut RowEncoder, value: &Bound<'_, PyAny>, convert: &Bound<'_, PyAny>) -> Result<()> {
    if add_plain(rows, value)? {
        return Ok(());
    }
    let converted = convert.call1((value,)).map_err(|error| callback_error(value.py(), "a value", error))?;
    if add_plain(rows, &converted)? { Ok(()) } else { Err(data("a value was converted into no plain one")) }
}

/// Adds a value of a type that needs no conversion. Returns false for other types.
fn add_plain(rows: &mut RowEncoder, value: &Bound<'_, PyAny>) -> Result<bool> {
    let unreadable = |error| callback_error(value.py(), "reading a value", error);
    if value.is_none() {
        rows.push_null()?;
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        rows.push_text(&text.to_cow().map_err(unreadable)?)?;
    } else if value.is_instance_of::<PyBool>() {
        rows.push_integer(i128::from(value.is_truthy().map_err(unreadable)?))?;
    } else if value.cast_exact::<PyInt>().is_ok() {
        match value.extract::<i64>() {
            Ok(number) => rows.push_integer(i128::from(number))?,
            // Decimals have up to 65 digits.
            Err(_) => match value.extract::<i128>() {
                Ok(number) => rows.push_integer(number)?,
                Err(_) => rows.push_text(&value.str().map_err(unreadable)?.to_string())?,
            },
        }
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        rows.push_bytes(float(number.value())?.as_bytes())?;
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        rows.push_bytes(bytes.as_bytes())?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// The shortest text that parses to the same number.
fn float(number: f64) -> Result<String> {
    if !number.is_finite() {
        return Err(data(format!("{number} is no value of SQL: give None for NULL")));
    }
    let size = number.abs();
    Ok(if size == 0.0 || (1e-5..1e16).contains(&size) { format!("{number}") } else { format!("{number:e}") })
}

pub(crate) fn data(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, message)
}
