"""Configurations without torch: composing them, what of them decides a result, and what is wrong with them."""

from softvq.config import resolvers

resolvers.register()
