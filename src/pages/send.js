// From the prototype: a field may be called "submit".
HTMLFormElement.prototype.submit.call(document.querySelector("form"));
