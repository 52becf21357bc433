// Which way to objects a session has: S3 with a key, Swift with a token.

import { S3Store } from "./s3.js";
import { SwiftStore } from "./swift.js";

export const storeOf = (session) => (session.isKey ? new S3Store(session) : new SwiftStore(session));
