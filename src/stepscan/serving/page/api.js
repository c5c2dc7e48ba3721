// Requests to the server that this page comes from, and its errors in words.

let token = "";
let askForToken = async () => "";

// What to call when the server wants a token: a function that resolves to one.
export function onTokenNeeded(ask) {
  askForToken = ask;
}

// An answer that is an error. `retryAfter`: in how many seconds to try again, or 0.
export class ApiError extends Error {
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// GET without a body, POST with one; resolves to the answer's JSON.
export async function request(path, body, signal) {
  return (await send(path, body, signal)).json();
}

// The server-sent events of a POST, each as the JSON of its data.
export async function* events(path, body, signal) {
  const response = await send(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await read(reader);
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) yield* parsed(part);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError"
      ? error
      : new ApiError("The server ended the connection in the middle of its answer.");
  }
}

function* parsed(part) {
  for (const line of part.split("\n")) {
    if (!line.startsWith("data:")) continue;
    const event = JSON.parse(line.slice(5));
    if (event.error) throw new ApiError(event.error.message);
    yield event;
  }
}

async function send(path, body, signal) {
  const response = await fetched(path, body, signal);
  if (response.ok) return response;
  if (response.status === 401) {
    token = await askForToken(token ? "This token is not the server's." : "");
    return send(path, body, signal);
  }
  throw await problem(response);
}

async function fetched(path, body, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { ...options, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is it still running?");
  }
}

async function problem(response) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  const answer = await response.json().catch(() => ({}));
  const words = answer.error?.message ?? `The server answered ${response.status} without saying why.`;
  const advice = response.status === 429 ? ` Try again in ${Math.max(1, wait)} s.` : "";
  return new ApiError(words + advice, response.status, wait);
}
