// The random numbers of `zoo sample`: a seed is hashed with BLAKE2b, and NumPy's PCG64 turns the hash into numbers.

const WORD = 2n ** 64n;
const IV = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const ORDER = [
  "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
  "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
].map((row) => [...row].map((digit) => parseInt(digit, 16)));
const COLUMNS_AND_DIAGONALS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];

/** Return a function that returns the uniform numbers from 0 to 1 with which zoo samples its first text. */
export function uniforms(seed) {
  const next = pcg64(hash(`(${seed}, 'sample', 0)`) >> 1n);
  return () => Number(next() >> 11n) * 2 ** -53;
}

const rotated = (word, by) => ((word >> by) | (word << (64n - by))) % WORD;

/** Return BLAKE2b with a digest of 8 bytes of an ASCII text of at most 128 characters (RFC 7693). */
export function hash(text) {
  const bytes = new Uint8Array(128);
  new TextEncoder().encodeInto(text, bytes);
  const message = [...new BigUint64Array(bytes.buffer)];
  const first = IV[0] ^ 0x01010008n; // no key, a digest of 8 bytes
  const v = [first, ...IV.slice(1), ...IV];
  v[12] ^= BigInt(text.length);
  v[14] ^= WORD - 1n; // the last block
  for (let round = 0; round < 12; round++) {
    const order = ORDER[round % 10];
    for (const [place, [a, b, c, d]] of COLUMNS_AND_DIAGONALS.entries()) {
      for (const [half, by] of [[32n, 24n], [16n, 63n]].entries()) {
        v[a] = (v[a] + v[b] + message[order[2 * place + half]]) % WORD;
        v[d] = rotated(v[d] ^ v[a], by[0]);
        v[c] = (v[c] + v[d]) % WORD;
        v[b] = rotated(v[b] ^ v[c], by[1]);
      }
    }
  }
  return first ^ v[0] ^ v[8];
}

/** Return NumPy's generator of 64-bit integers with a seed: PCG XSL RR 128/64 by M. O'Neill. */
export function pcg64(seed) {
  const [high, low, other, last] = seedSequence(seed);
  const increment = ((((other << 64n) | last) << 1n) | 1n) % WORD ** 2n;
  const step = (state) => (state * 0x2360ed051fc65da44385df649fccf645n + increment) % WORD ** 2n;
  let state = step(step(0n) + ((high << 64n) | low));
  return () => {
    state = step(state);
    return rotated((state >> 64n) ^ (state % WORD), state >> 122n);
  };
}

/** Return four 64-bit integers for a seed, as NumPy's SeedSequence does (by M. O'Neill). */
function seedSequence(seed) {
  const mixer = (start, factor) => {
    let constant = start;
    return (value) => {
      const before = constant;
      constant = Math.imul(constant, factor);
      const mixed = Math.imul(value ^ before, constant);
      return mixed ^ (mixed >>> 16);
    };
  };
  const enter = mixer(0x43b0d7e5, 0x931e8875);
  const pool = [seed, seed >> 32n, 0n, 0n].map((word) => enter(Number(BigInt.asIntN(32, word))));
  for (const from of pool.keys()) {
    for (const to of pool.keys()) {
      if (from === to) continue;
      const mixed = Math.imul(pool[to], 0xca01f9dd) - Math.imul(enter(pool[from]), 0x4973f715);
      pool[to] = mixed ^ ((mixed | 0) >>> 16);
    }
  }
  const leave = mixer(0x8b51f9dd, 0x58f38ded);
  const words = Array.from({ length: 8 }, (_, place) => BigInt(leave(pool[place % 4]) >>> 0));
  return [0, 2, 4, 6].map((place) => words[place] | (words[place + 1] << 32n));
}
