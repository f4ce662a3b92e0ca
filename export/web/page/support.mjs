// What this browser and this address cannot do, each in one sentence.

// surroundings: { secure, microphone, worklet } -> why there is no microphone, or null.
export function noMicrophone({ secure, microphone, worklet }) {
  if (!secure) return "Browsers give the microphone only to pages at https:// or http://localhost; files and the demo work here.";
  if (!microphone || !worklet) return "This browser has no microphone for pages; files and the demo work here.";
  return null;
}

// What getUserMedia's error means.
export function microphoneRefused({ name, message }) {
  const known = {
    NotAllowedError: "the microphone is blocked for this page; allow it in the browser's address bar",
    NotFoundError: "no microphone is connected",
    NotReadableError: "the microphone is in use by another program, or the system blocks it",
  };
  return known[name] ?? `the microphone cannot be used: ${message}`;
}
