;; Four core modules, each with a small memory: more than the pool has for each of all the instances that there may be.
(component
  (core module $code (memory (export "memory") 1))
  (core instance (instantiate $code))
  (core instance (instantiate $code))
  (core instance (instantiate $code))
  (core instance (instantiate $code)))
