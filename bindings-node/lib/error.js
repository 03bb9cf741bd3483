'use strict';

/** The error of a job. */
class CloneError extends Error {
  constructor(message, { code = 'INTERNAL', retryable = false, context = {}, serverCode, report, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.context = context;
    if (serverCode !== undefined) this.serverCode = serverCode;
    // Not enumerable, so that printing the error does not print the large report.
    if (report !== undefined) Object.defineProperty(this, 'report', { value: report });
  }
}
Object.defineProperty(CloneError.prototype, 'name', { value: 'CloneError', configurable: true, writable: true });

/** Converts an error of the native module. */
function errorFromJson(values, cause) {
  const context = {};
  // The innermost context comes first and takes precedence.
  for (const [name, value] of values.context ?? []) context[name.replace(/:$/, '')] ??= value;
  return new CloneError(values.line, {
    code: values.kind.toUpperCase(),
    retryable: values.retryable ?? false,
    context,
    serverCode: values.code ?? undefined,
    report: values.report,
    cause: cause ?? (values.cause == null ? undefined : new Error(values.cause)),
  });
}

/** Serializes an error of the user's code for the native module. */
function errorToJson(thrown) {
  const isCloneError = thrown instanceof CloneError;
  return {
    kind: isCloneError ? thrown.code.toLowerCase() : 'callback',
    message: thrown instanceof Error ? thrown.message || thrown.name : String(thrown),
    retryable: isCloneError && thrown.retryable,
    code: null,
    context: isCloneError ? Object.entries(thrown.context).map(([name, value]) => [name, String(value)]) : [],
    cause: null,
  };
}

/** Runs a function of the native module, which throws errors as JSON. */
function callNative(call) {
  try {
    return call();
  } catch (error) {
    if (error.message.startsWith('{')) throw errorFromJson(JSON.parse(error.message));
    throw error;
  }
}

module.exports = { CloneError, errorFromJson, errorToJson, callNative };
