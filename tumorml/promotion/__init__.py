"""Who serves: the policy, the rules, the verdict, the champion."""
