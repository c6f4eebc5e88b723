// The error that all functions of the API throw.

/** An error. `again` is true if a retry may help; `status` is 0 if the server did not respond. */
export class Problem extends Error {
  constructor(message, { hint = "", status = 0, again = false } = {}) {
    super(message);
    Object.assign(this, { hint, status, again });
  }
}
