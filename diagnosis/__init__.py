"""Why an mAP is what it is: errors by kind, what each costs, and which instances are missed."""
