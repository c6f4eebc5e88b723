// What every function of the API throws when something does not work, in words.

/** Something that did not work. `again` says whether trying again may help; a `status` of 0 is no answer. */
export class Problem extends Error {
  constructor(message, { hint = "", status = 0, again = false } = {}) {
    super(message);
    Object.assign(this, { hint, status, again });
  }
}
