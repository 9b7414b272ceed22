//! One request, from admission to answer.
