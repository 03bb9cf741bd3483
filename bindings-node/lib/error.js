'use strict';

/** What a job fails with. */
class CloneError extends Error {
  constructor(message, { code = 'INTERNAL', retryable = false, context = {}, serverCode, report, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.context = context;
    if (serverCode !== undefined) this.serverCode = serverCode;
    // As large as the clone: not printed with the error.
    if (report !== undefined) Object.defineProperty(this, 'report', { value: report });
  }
}
Object.defineProperty(CloneError.prototype, 'name', { value: 'CloneError', configurable: true, writable: true });

/** The error that the native half tells of. */
function fromTold(told, cause) {
  const context = {};
  // The innermost comes first, and is the one that counts.
  for (const [name, value] of told.context ?? []) context[name.replace(/:$/, '')] ??= value;
  return new CloneError(told.line, {
    code: told.kind.toUpperCase(),
    retryable: told.retryable ?? false,
    context,
    serverCode: told.code ?? undefined,
    report: told.report,
    cause: cause ?? (told.cause == null ? undefined : new Error(told.cause)),
  });
}

/** What the native half is told of an error of the user's own code. */
function toTold(thrown) {
  const own = thrown instanceof CloneError;
  return {
    kind: own ? thrown.code.toLowerCase() : 'callback',
    message: thrown instanceof Error ? thrown.message || thrown.name : String(thrown),
    retryable: own && thrown.retryable,
    code: null,
    context: own ? Object.entries(thrown.context).map(([name, value]) => [name, String(value)]) : [],
    cause: null,
  };
}

/** Runs what throws errors as JSON. */
function native(call) {
  try {
    return call();
  } catch (error) {
    if (error.message.startsWith('{')) throw fromTold(JSON.parse(error.message));
    throw error;
  }
}

module.exports = { CloneError, fromTold, toTold, native };
